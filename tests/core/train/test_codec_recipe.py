"""The recipe of the sound codec runs from rendering to shipped weights, with tiny sizes."""

from __future__ import annotations

import torch

from moviegen_core import weights
from moviegen_core.models import loading
from moviegen_core.pipelines.sound_codec import decode_sound, encode_sound
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.recipes import nano_codec

CLIPS = ClipConfig(count=4, size=32, kinds=((16, 16, 1),), first_seed=70)


def train(workspace, joint, decoder):
    """Run the recipe with tiny sizes -> its settings."""
    recipe = nano_codec.CodecRecipe(
        clips=CLIPS, seconds=0.3, batch_size=2, start_sounds=4, start_seconds=1.0, statistics_sounds=4,
        joint=nano_codec.CodecStage(learning_rate=1e-5, **joint),
        decoder=nano_codec.CodecStage(learning_rate=1e-5, adversary=0.02, **decoder),
    )  # fmt: skip
    nano_codec.run(recipe, workspace)
    return recipe


def test_recipe_ships_a_codec_that_gives_its_sounds_back(workspace):
    recipe = train(workspace, {"minutes": None, "steps": 2}, {"minutes": None, "steps": 1})
    codec = loading.load(workspace.weight_file("nano/audio_codec"), dtype=torch.float32, network="audio_codec")
    sounds = nano_codec.start_sounds(
        nano_codec.Sounds(workspace.folder("sound-waves"), nano_codec.SoundConfig.beside(CLIPS, channels=1)), recipe
    )
    latent = encode_sound(codec, sounds)
    error = decode_sound(codec, latent, sounds.shape[2]) - sounds
    assert 10 * torch.log10(sounds.square().mean() / error.square().mean()) > 12
    assert torch.isfinite(latent).all()


def test_stages_of_no_steps_or_no_minutes_are_left_out(workspace):
    train(workspace, {"minutes": 6, "steps": 0}, {"minutes": 0, "steps": 5})
    assert weights.shipped(workspace.ship)["nano/audio_codec"].steps == 0
    assert not workspace.folder("nano-codec").exists()
