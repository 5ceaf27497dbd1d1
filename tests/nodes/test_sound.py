"""The sound codec's loader and empty sound latents on the standalone runtime."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from moviegen_core.errors import CheckpointError, MediaError
from moviegen_core.pipelines.sound_codec import decode_sound, encode_sound
from moviegen_host.video import VideoComponents, VideoFromComponents


@pytest.mark.parametrize(
    ("frames", "fps", "latent_frames"), [(24, 24.0, 25), (25, 24.0, 27), (1, 60.0, 1), (48, 23.976, 51)]
)
def test_empty_latent_covers_the_clip(nodes, frames, fps, latent_frames):
    node = nodes["MovieGenEmptySoundLatent"]
    latent = node.execute(images=torch.zeros(frames, 8, 8, 3), fps=fps, batch_size=2)[0]
    assert latent["samples"].shape == (2, 128, latent_frames)
    assert latent["type"] == "audio"
    rate = Fraction(24000, 1001) if fps == 23.976 else Fraction(fps)
    video = VideoFromComponents(VideoComponents(torch.zeros(frames, 8, 8, 3), rate))
    assert node.execute(video=video)[0]["samples"].shape == (1, 128, latent_frames)


def test_empty_latent_of_seconds_and_of_no_length(nodes):
    assert nodes["MovieGenEmptySoundLatent"].execute(seconds=2.02)[0]["samples"].shape == (1, 128, 51)
    with pytest.raises(MediaError, match="above 0"):
        nodes["MovieGenEmptySoundLatent"].execute(images=torch.zeros(3, 8, 8, 3), fps=0.0)


def test_loaded_codec_encodes_and_decodes(nodes, tiny, tmp_path):
    path = tiny.write_audio_codec(tmp_path / "codec.safetensors")
    codec = nodes["MovieGenSoundVAELoader"].execute(str(path))[0].network
    sound = 0.1 * torch.randn(1, 1, 5000, generator=torch.Generator().manual_seed(0))
    latent = encode_sound(codec, sound)
    assert latent.shape == (1, 128, 3)
    assert decode_sound(codec, latent, 5000).shape == (1, 1, 5000)


def test_file_of_another_network_is_refused(nodes, weights):
    with pytest.raises(CheckpointError, match="audio_codec"):
        nodes["MovieGenSoundVAELoader"].execute(weights["tae"])
