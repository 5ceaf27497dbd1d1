"""What the nodes of sound refuse, each in one line."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from moviegen_core.errors import BackendError, ConfigError, MediaError, MovieGenError, ShapeError
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_host.session import Session, active
from moviegen_host.video import VideoComponents, VideoFromComponents

STEPS = 3


def test_candidates_seen_by_other_encoders_are_refused_before_any_is_made(parts, sound_weights, tmp_path):
    from moviegen_core.models import catalog, loading

    config = AudioDiTConfig(dim=32, num_heads=2, num_layers=1, mlp_dim=48, text_dim=32, frame_dim=16)
    path = loading.save(catalog.build("audio_dit", config, device="cpu"), tmp_path / "tower_alone.safetensors")
    model = parts.run("AudioModelLoader", str(path))[0]
    tower = parts.run("FrameEncodersLoader", sound_weights["metaclip_vision"], "none")[0]
    positive, _, latent = parts.run("VideoToSound", parts.clip, tower, images=parts.pictures(8), fps=8.0)
    assert parts.sampled(positive, latent, model)["samples"].isfinite().all()
    seen = []
    with active(Session(on_progress=seen.append)), pytest.raises(ShapeError, match="that Video to Sound read"):
        parts.sampled(positive, latent, model, candidates=2, frame_encoders=parts.eyes, vae=parts.vae)
    assert seen == []


def video(parts, count=3, fps=16):
    return VideoFromComponents(VideoComponents(parts.pictures(count), Fraction(fps)))


def gap(parts, start, end):
    return parts.run("FillSound", parts.noise(1.0), parts.vae, None, start, end)


REFUSED = {
    "video without encoders": (
        ConfigError,
        "connect Load Frame Encoders",
        lambda parts: parts.run("VideoToSound", parts.clip, video=video(parts)),
    ),
    "no frames": (MediaError, "at least 1", lambda parts: parts.asked(images=parts.pictures(0), fps=16.0)),
    "fps 0": (MediaError, "above 0", lambda parts: parts.asked(images=parts.pictures(3), fps=0.0)),
    "three hours": (MediaError, "cut the film", lambda parts: parts.asked(seconds=10800.0, text="rain")),
    "flat pictures": (
        ShapeError,
        r"\[frames, H, W, 3\]",
        lambda parts: parts.asked(images=torch.zeros(3, 8, 8), fps=8.0),
    ),
    "no likelihood": (ConfigError, "from 0 to 1", lambda parts: parts.asked(text="rain", music_likelihood=7.0)),
    "context longer than the clip": (
        ConfigError,
        "nothing is left to be made",
        lambda parts: parts.asked(text="rain", seconds=1.0, context_audio=parts.noise(3.0), vae=parts.vae),
    ),
    "video and images": (
        ConfigError,
        "only one can be watched",
        lambda parts: parts.asked(video=object(), images=torch.zeros(2, 16, 16, 3)),
    ),
    "context without codec": (
        ConfigError,
        "connect Load DAC-VAE",
        lambda parts: parts.asked(text="rain", context_audio=parts.noise(1.0)),
    ),
    "silent film": (MediaError, "may be silent", lambda parts: parts.run("ExtendSound", None, parts.vae)),
    "empty sound": (MediaError, "0 samples", lambda parts: parts.run("FillSound", parts.noise(0.0), parts.vae)),
    "gap outside": (
        ConfigError,
        "leave it out",
        lambda parts: parts.run("FillSound", parts.noise(1.0), parts.vae, None, 2, 3),
    ),
    "gap backwards": (
        ConfigError,
        "after it begins",
        lambda parts: parts.run("FillSound", parts.noise(1.0), parts.vae, None, 0.5, 0.1),
    ),
    "sound longer than its clip": (
        ConfigError,
        "cut it with Fit Audio",
        lambda parts: parts.run("ExtendSound", parts.noise(3.0), parts.vae, parts.asked(seconds=1.0, text="rain")[2]),
    ),
    "no end": (
        MediaError,
        "cut the film",
        lambda parts: parts.run("ExtendSound", parts.noise(1.0), parts.vae, None, 1800.0),
    ),
    "candidates without ears": (
        ConfigError,
        "connect frame_encoders and vae",
        lambda parts: parts.sampled(*parts.asked(text="rain", seconds=0.5)[::2], candidates=2),
    ),
    "candidates of all windows at once": (
        ConfigError,
        "choose extend",
        lambda parts: parts.sampled(
            *parts.asked(text="rain", seconds=0.5)[::2],
            parts.run("LongSound", parts.model, "multidiffusion")[0],
            candidates=2,
            frame_encoders=parts.eyes,
            vae=parts.vae,
        ),
    ),
    "beams at once": (
        ConfigError,
        "choose extend",
        lambda parts: parts.run("LongSound", parts.model, "multidiffusion", beams=2),
    ),
    "context beyond the window": (
        ConfigError,
        "shorter than the window",
        lambda parts: parts.run("LongSound", parts.model, "extend", 2.0, 3.0),
    ),
    "video latent": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.sampled(parts.asked(text="rain")[0], {"samples": torch.zeros(1, 16, 2, 4, 4)}),
    ),
    "video latent to extend": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.run("ExtendSound", parts.noise(1.0), parts.vae, {"samples": torch.zeros(1, 16, 2, 4, 4)}),
    ),
    "latent of another codec to fill": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.run("FillSound", parts.noise(3.0), parts.vae, {"samples": torch.zeros(1, 64, 50)}),
    ),
    "mask of another length": (
        ShapeError,
        "connect Extend Sound or Fill Sound",
        lambda parts: parts.run(
            "FillSound",
            parts.noise(2.0),
            parts.vae,
            {"samples": torch.zeros(1, 128, 50), "noise_mask": torch.ones(1, 1, 9)},
        ),
    ),
    "another length": (
        ShapeError,
        "for this video",
        lambda parts: parts.sampled(
            parts.asked(images=parts.pictures(8), fps=8.0)[0], {"samples": torch.zeros(1, 128, 9)}
        ),
    ),
    "nothing to make": (
        ConfigError,
        "nothing is left",
        lambda parts: parts.sampled(
            parts.asked(text="rain")[0], {"samples": torch.zeros(1, 128, 9), "noise_mask": torch.zeros(1, 1, 9)}
        ),
    ),
    "picture codec": (
        BackendError,
        "no Movie Gen sound codec",
        lambda parts: parts.run("SoundDecode", {"samples": torch.zeros(1, 128, 2)}, None),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_answered_in_one_line(case, parts):
    kind, words, work = REFUSED[case]
    with pytest.raises(kind, match=words) as caught:
        work(parts)
    assert isinstance(caught.value, MovieGenError)
    assert len(str(caught.value).splitlines()) == 1


def test_model_that_makes_no_sound_is_refused(parts, weights):
    video_model = parts.run("ModelLoader", weights["video"])[0]
    with pytest.raises(BackendError, match="Load Movie Gen Audio Model"):
        parts.sampled(parts.asked(text="rain")[0], {"samples": torch.zeros(1, 128, 9)}, video_model)
    with pytest.raises(BackendError, match="Load Movie Gen Audio Model"):
        parts.run("LongSound", video_model)


def test_no_encoder_at_all_is_refused(parts):
    with pytest.raises(ConfigError, match="choose at least one"):
        parts.run("FrameEncodersLoader", "none", "none")


def test_text_without_ul2_is_refused(parts, weights):
    clip = parts.run("TextEncoderLoader", "none", weights["metaclip"], "none")[0]
    with pytest.raises(ConfigError, match="Load Text Encoders"):
        parts.run("VideoToSound", clip, text="rain")
    positive = parts.run("TextEncode", clip, "a red ball", 16.0)[0]
    with pytest.raises(ShapeError, match="choose a ul2 encoder"):
        parts.sampled(positive, {"samples": torch.zeros(1, 128, 9)})
