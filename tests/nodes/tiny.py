"""Tiny networks with random weights, written as files, so that nodes are tested without trained models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_codec.presets import NANO as NANO_CODEC
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.models.sound_match.model import SoundMatchConfig
from moviegen_core.models.tae.presets import NANO
from moviegen_core.models.text import TextConfig, build_network, save_text_encoder
from moviegen_core.models.text.tokenizer import ByteTokenizer, LibraryTokenizer
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.models.vision.checkpoint import save_vision_tower
from moviegen_core.models.vision.model import VisionConfig
from moviegen_core.models.vision.model import build_network as build_tower

WIDTHS = {"ul2": 32, "metaclip": 24, "byt5": 16}
VISION_WIDTH, MATCH_WIDTH = 16, 8
WORDS = ("a", "red", "blue", "ball", "bounces", "on", "the", "beach", "cube", "spins", "FPS-16", "FPS-24")


def write_video(path: Path) -> Path:
    """A video transformer for clips of up to 8 latent frames and 64 x 64 latent pixels."""
    config = VideoDiTConfig(dim=32, num_heads=2, num_layers=2, mlp_dim=48, context_dims=WIDTHS, max_grid=(8, 16, 16))
    network = catalog.build("video_dit", config, device="cpu")
    return loading.save(randomise(network, 0.15), path)


def write_tae(path: Path) -> Path:
    """A temporal autoencoder with the nano preset's structure; statistics other than 0 and 1."""
    config = dataclasses.replace(NANO, channels=(16, 16, 16, 16), norm_groups=4)
    network = randomise(catalog.build("tae", config, device="cpu"), 0.2)
    network.set_statistics(torch.linspace(-1, 1, 16), torch.linspace(0.5, 2, 16))
    return loading.save(network, path)


def write_audio_codec(path: Path) -> Path:
    """A sound codec with the nano preset's structure, fewer channels and statistics other than 0 and 1."""
    config = dataclasses.replace(NANO_CODEC, encoder_dim=8, latent_dim=16, decoder_dim=16)
    codec = randomise(catalog.build("audio_codec", config, device="cpu"), 0.1)
    codec.latent_mean.copy_(torch.linspace(-1, 1, config.latent_channels))
    codec.latent_std.copy_(torch.linspace(0.5, 2, config.latent_channels))
    return loading.save(codec, path)


def write_audio(path: Path) -> Path:
    """A sound transformer that reads UL2's tokens and what the two frame encoders give."""
    frame_dim = VISION_WIDTH + 2 * MATCH_WIDTH
    config = AudioDiTConfig(dim=32, num_heads=2, num_layers=2, mlp_dim=48, text_dim=WIDTHS["ul2"], frame_dim=frame_dim)
    return loading.save(randomise(catalog.build("audio_dit", config, device="cpu"), 0.15), path)


def write_sound_match(path: Path) -> Path:
    """A sound match with small convolutions."""
    config = SoundMatchConfig(
        image_size=16, channels=(8, 8), dim=16, feature_dim=MATCH_WIDTH, shared_dim=8, text_dim=WIDTHS["ul2"]
    )
    return loading.save(randomise(catalog.build("sound_match", config, device="cpu"), 0.2), path)


def write_vision(path: Path) -> Path:
    """A CLIP vision tower of one layer."""
    config = VisionConfig(dim=VISION_WIDTH, num_layers=1, num_heads=2, mlp_dim=24, image_size=16, patch_size=8)
    shared = {name: torch.eye(8, VISION_WIDTH) for name in ("vision_projection", "text_projection")}
    return save_vision_tower(path, config, randomise(build_tower(config), 0.2), shared)


def write_text(path: Path, role: str) -> Path:
    """A text encoder of `role`."""
    clip = role == "metaclip"
    config = TextConfig(
        family="clip" if clip else "t5",
        vocab_size=384 if role == "byt5" else 64,
        dim=WIDTHS[role],
        num_layers=1,
        num_heads=2,
        head_dim=WIDTHS[role] // 2,
        mlp_dim=32,
        activation="quick_gelu" if clip else "gated-gelu",
        max_tokens=256,
    )
    tokenizer = ByteTokenizer() if role == "byt5" else LibraryTokenizer(word_tokenizer(), config.family)
    save_text_encoder(path, role, config, randomise(build_network(config), 0.2), tokenizer)
    return path


def randomise(network: nn.Module, std: float) -> nn.Module:
    """Seeded normal weights everywhere, so that nothing is hidden by a zero."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def word_tokenizer():
    """Words of WORDS, anything else unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["<pad>", "</s>", "<|startoftext|>", "<|endoftext|>", "<unk>", *dict.fromkeys(WORDS)]
    tokenizer = Tokenizer(models.WordLevel({name: place for place, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def write_sound(folder: Path) -> dict[str, str]:
    """audio, audio_codec, sound_match and metaclip_vision .safetensors in `folder`, by part."""
    writers = {
        "audio": write_audio, "audio_codec": write_audio_codec, "sound_match": write_sound_match,
        "metaclip_vision": write_vision,
    }  # fmt: skip
    return {part: str(write(folder / f"{part}.safetensors")) for part, write in writers.items()}


def write_all(folder: Path) -> None:
    """video, tae, ul2, metaclip and byt5 .safetensors in `folder`."""
    write_video(folder / "video.safetensors")
    write_tae(folder / "tae.safetensors")
    for role in WIDTHS:
        write_text(folder / f"{role}.safetensors", role)
