"""Films with sound: what it is made of, how long it is, and what is refused before the work."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.media.movie import read_movie
from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.pipelines.movie import MovieGenPipeline

SMALL = {"num_frames": 9, "height": 32, "width": 48, "steps": 2, "guidance_scale": 3.0}


def test_sound_reads_with_the_films_encoder_unless_it_has_its_own(sounding, film_folder, sound_folder, tmp_path):
    assert sounding.sound.parts.words is not sounding.encoders.ul2
    for file in (*film_folder.iterdir(), *sound_folder.iterdir()):
        if file.name != "t5.safetensors":
            (tmp_path / file.name).symlink_to(file)
    shared = MovieGenPipeline.from_pretrained(tmp_path, device="cpu", dtype="fp32")
    assert shared.sound.parts.words is shared.encoders.ul2


def test_sound_model_that_reads_other_words_is_refused_before_the_work(film_folder, sound_folder, tmp_path):
    for file in (*film_folder.iterdir(), *sound_folder.iterdir()):
        if file.name not in ("t5.safetensors", "audio.safetensors"):
            (tmp_path / file.name).symlink_to(file)
    config = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=24, frame_dim=8)
    loading.save(catalog.build("audio_dit", config, device="cpu"), tmp_path / "audio.safetensors")
    film = MovieGenPipeline.from_pretrained(tmp_path, device="cpu", dtype="fp32")
    with pytest.raises(CheckpointError, match="gives 16 features a token, the sound model reads 24; give the encoder"):
        film("a ball", **SMALL, audio_length=0.5, on_step=lambda *_: pytest.fail("the film was begun"))


def test_film_has_a_sound_as_long_as_its_pictures(sounding, tmp_path):
    film = sounding("a ball", **{**SMALL, "num_frames": 12}, fps=16, audio_length=0.75)
    assert film.sound.waveform.shape == (1, 36_000)
    movie = read_movie(film.save(tmp_path / "film.mp4"))
    assert movie.num_frames == 12
    assert abs(movie.waveform.shape[1] - 36_000) <= 1024
    assert movie.metadata["moviegen"]["sound"]["sound_prompt"] == "a ball"


@pytest.mark.parametrize(("asked", "samples"), [(0.5, 24_000), (0.74, 36_000), (16, 36_000)])
def test_sound_ends_with_the_film_at_the_latest(sounding, asked, samples):
    film = sounding("a ball", **{**SMALL, "num_frames": 12}, fps=16, audio_length=asked)
    assert film.sound.waveform.shape[1] == samples


def test_sound_follows_its_own_words_music_and_seed(sounding):
    film = sounding("a ball", **SMALL)
    assert film.sound is None
    first, again = (sounding.add_sound(film, "rain", seed=1).sound.waveform for _ in range(2))
    assert torch.equal(first, again)
    for prompt, more in (("wind", {"seed": 1}), ("rain", {"seed": 2}), ("rain", {"seed": 1, "music": "calm"})):
        assert not torch.equal(first, sounding.add_sound(film, prompt, **more).sound.waveform)
    calm = sounding.add_sound(film, "rain", seed=1, music="calm").sound.waveform
    for music, wanted in (("", first), ("calm", calm)):
        told = sounding(
            "a ball", **SMALL, audio_length=9 / 16, sound_prompt="rain", music=music, sound_options={"seed": 1}
        )
        assert torch.equal(told.latent, film.latent)
        assert torch.equal(told.sound.waveform, wanted)


def test_sound_without_weights_or_length_is_refused_before_the_work(film_folder, sounding):
    def stop(*_):
        raise AssertionError("the sampling began")

    with pytest.raises(CheckpointError, match=r"has no weights for sound: it lacks audio"):
        MovieGenPipeline.from_pretrained(film_folder)("a ball", **SMALL, audio_length=1, on_step=stop)
    for options, remedy in (
        ({"solver": "heun"}, "use one of"),
        ({"sovler": "euler"}, "no option sovler; it has prompt"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            sounding("a ball", **SMALL, audio_length=1, on_step=stop, sound_options=options)
    for seconds in (0, float("nan")):
        with pytest.raises(ConfigError, match="use a number above 0"):
            sounding("a ball", **SMALL, audio_length=seconds, on_step=stop)
