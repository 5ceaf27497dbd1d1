"""What tests of several folders need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_codec.model import AudioCodecConfig
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.models.sound_match.model import SoundMatchConfig
from moviegen_core.models.text import TextConfig, build_network, save_text_encoder
from moviegen_core.models.text.tokenizer import ByteTokenizer, LibraryTokenizer
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.pipelines.movie import MovieGenPipeline

CODEC = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(8,), latent_dim=8, latent_channels=4, decoder_dim=8, decoder_rates=(8,),
    watermark_rates=(), weight_norm=False, transform=240,
)  # fmt: skip
MATCH = SoundMatchConfig(channels=(8, 8, 8), dim=16, feature_dim=4, shared_dim=4, dilations=(1,), text_dim=16)
MODEL = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=16, frame_dim=8)
TEXT = TextConfig(
    family="t5", vocab_size=384, dim=16, num_layers=1, num_heads=2, head_dim=8, mlp_dim=16, activation="gated-gelu",
    max_tokens=512,
)  # fmt: skip


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory) -> Path:
    """A model folder with tiny random parts that make sound from pictures (by the match alone) and words."""
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    model = catalog.build("audio_dit", MODEL, device="cpu", dtype=torch.float32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    extra = {"sampling": {"steps": 2, "window_seconds": 2.0, "context_seconds": 0.5}}
    loading.save(model, folder / "audio.safetensors", extra=extra)
    for part, config in (("audio_codec", CODEC), ("sound_match", MATCH)):
        loading.save(catalog.build(part, config, device="cpu", dtype=torch.float32), folder / f"{part}.safetensors")
    network = build_network(TEXT, dtype=torch.float32)
    save_text_encoder(folder / "t5.safetensors", "ul2", TEXT, network, letters(), dtype=torch.float32)
    return folder


def letters() -> LibraryTokenizer:
    """A tokenizer of single characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = ("<unk>", "</s>", *(chr(code) for code in range(32, 127)))
    tokenizer = Tokenizer(models.WordLevel({symbol: index for index, symbol in enumerate(known)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return LibraryTokenizer(tokenizer, "t5")


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory) -> Path:
    """A model folder with tiny random parts; MetaCLIP is left out."""
    folder = tmp_path_factory.mktemp("film")
    torch.manual_seed(0)
    config = VideoDiTConfig(
        dim=32,
        num_heads=2,
        num_layers=2,
        mlp_dim=48,
        context_dims={"ul2": 16, "metaclip": 16, "byt5": 16},
        max_grid=(6, 4, 4),
    )
    video = catalog.build("video_dit", config, device="cpu", dtype=torch.float32)
    for parameter in video.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    extra = {"sampling": {"guidance_scale": 2.5, "steps": 3, "temperature": 0.75}}
    loading.save(video, folder / "video.safetensors", extra=extra)
    loading.save(catalog.build("tae", "nano", device="cpu", dtype=torch.float32), folder / "tae.safetensors")
    for role, tokenizer in (("ul2", words()), ("byt5", ByteTokenizer())):
        text = TextConfig(
            family="t5",
            vocab_size=384,
            dim=16,
            num_layers=1,
            num_heads=2,
            head_dim=8,
            mlp_dim=16,
            activation="gated-gelu",
            max_tokens=64,
        )
        network = build_network(text, dtype=torch.float32)
        save_text_encoder(folder / f"{role}.safetensors", role, text, network, tokenizer, dtype=torch.float32)
    return folder


def words() -> LibraryTokenizer:
    """A tokenizer that knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ("<unk>", "</s>", "16", "24", "a", "red", "blue", "ball", "bounces")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return LibraryTokenizer(tokenizer, "t5")


@pytest.fixture(scope="session")
def sounding(film_folder, sound_folder, tmp_path_factory) -> MovieGenPipeline:
    """The tiny parts with those that make sound."""
    both = tmp_path_factory.mktemp("both")
    for file in (*film_folder.iterdir(), *sound_folder.iterdir()):
        (both / file.name).symlink_to(file)
    return MovieGenPipeline.from_pretrained(both, device="cpu", dtype="fp32")
