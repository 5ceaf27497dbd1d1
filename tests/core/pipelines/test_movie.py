"""The movie pipeline on tiny random models: from a prompt to a file, and every way it refuses."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import moviegen_core
from moviegen_core.devices import visit
from moviegen_core.errors import CheckpointError, ConfigError, MediaError, ShapeError
from moviegen_core.media.movie import read_movie
from moviegen_core.models import loading
from moviegen_core.models.tae.model import TAE
from moviegen_core.pipelines.film import Film
from moviegen_core.pipelines.movie import MovieGenPipeline
from moviegen_core.pipelines.soundtrack import Sound

SMALL = {"num_frames": 9, "height": 32, "width": 48, "steps": 2, "guidance_scale": 3.0}


@pytest.fixture(scope="module")
def folder(film_folder) -> Path:
    """A model folder with tiny random parts; MetaCLIP is left out."""
    return film_folder


@pytest.fixture(scope="module")
def pipeline(folder) -> MovieGenPipeline:
    """The tiny parts, loaded."""
    return MovieGenPipeline.from_pretrained(folder, device="cpu", dtype="fp32")


def test_prompt_becomes_a_file_with_the_asked_size_rate_and_facts(pipeline, tmp_path):
    path = pipeline("a red ball bounces", seed=5, fps=24, **SMALL).save(tmp_path / "film.mp4")
    movie = read_movie(path)
    assert (movie.num_frames, movie.height, movie.width, movie.fps) == (9, 32, 48, 24)
    facts = movie.metadata["moviegen"]
    assert (facts["prompt"], facts["seed"], facts["steps"]) == ("a red ball bounces", 5, 2)
    assert movie.pixels().shape == (3, 9, 32, 48)


def test_numbers_of_numpy_and_fractions_make_the_film_of_plain_ones(pipeline, tmp_path):
    plain = pipeline("a ball", seed=5, fps=24000 / 1001, temperature=0.5, **SMALL)
    kinds = {"seed": np.int64(5), "fps": Fraction(24000, 1001), "temperature": np.float32(0.5)}
    film = pipeline("a ball", emulated_steps=np.int64(1000), **kinds, **SMALL)
    assert torch.equal(film.latent, plain.latent)
    assert read_movie(film.save(tmp_path / "film.mp4")).metadata["moviegen"]["seed"] == 5


def test_one_seed_gives_one_film(pipeline):
    first, again, other = (pipeline("a ball", seed=seed, **SMALL).latent for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize(
    "change",
    [
        {"negative": "red"},
        {"show_text": "HI"},
        {"fps": 24},
        {"schedule": "linear"},
        {"emulated_steps": 4},
        {"solver": "midpoint"},
        {"temperature": 0.5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_setting_changes_the_film(pipeline, change):
    plain = pipeline("a ball", **SMALL, temperature=1.0).latent
    assert not torch.allclose(plain, pipeline("a ball", **{**SMALL, "temperature": 1.0, **change}).latent, atol=1e-3)


def test_camera_motion_is_put_before_the_prompt(pipeline):
    plain, moved, said = (
        pipeline(prompt, **SMALL, camera=camera)
        for prompt, camera in (("a ball", None), ("a ball", "zoom in"), ("Zoom in. a ball", None))
    )
    assert torch.equal(moved.latent, said.latent)
    assert not torch.equal(moved.latent, plain.latent)
    assert moved.facts["prompt"] == "Zoom in. a ball"


def test_prompt_changes_the_film(pipeline):
    plain = pipeline("a ball", **SMALL).latent
    assert not torch.equal(plain, pipeline("blue bounces", **SMALL).latent)


def test_empty_prompt_is_the_null_condition_and_the_log_says_so(pipeline, caplog):
    with caplog.at_level(logging.WARNING):
        empty = pipeline(" ", **SMALL).latent
    assert "the prompt is empty" in caplog.text
    unguided = pipeline(" ", **{**SMALL, "guidance_scale": 1.0}).latent
    torch.testing.assert_close(empty, unguided)


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("ball " * 2000, id="10,000 characters"),
        pytest.param("🎈🐟" * 50, id="emoji"),
        pytest.param("كرة حمراء ترتد على الشاطئ", id="right to left"),
        pytest.param(f'a sign says "{"x" * 500}"', id="long quotation"),
        pytest.param("\ud800\x00", id="not text"),
    ],
)
def test_unusual_prompts_make_a_film(pipeline, prompt):
    assert torch.isfinite(pipeline(prompt, **SMALL).latent).all()


def test_recommended_sampling_of_the_checkpoint_is_the_default(pipeline):
    film = pipeline("a ball", num_frames=1, height=16, width=16)
    assert [film.facts[name] for name in ("steps", "guidance_scale", "temperature")] == [3, 2.5, 0.75]


def test_film_larger_than_what_the_checkpoint_learned_from_is_told_in_the_log(pipeline, caplog):
    parts = (pipeline.video, pipeline.tae, pipeline.encoders, pipeline.placement)
    learned = MovieGenPipeline(*parts, sampling={"largest_side": 16})
    with caplog.at_level(logging.WARNING):
        learned("a ball", num_frames=1, height=16, width=16, steps=1)
        assert "learned" not in caplog.text
        learned("a ball", num_frames=1, height=32, width=16, steps=1)
    assert "16 x 32 pixels were asked for; this model learned from up to 16 x 16" in caplog.text


@pytest.mark.parametrize(
    ("change", "error", "remedy"),
    [
        ({"num_frames": 0}, ShapeError, "use 1 to 48"),
        ({"num_frames": 100_000}, ShapeError, "use 1 to 48"),
        ({"num_frames": 56, "fps": 24}, ShapeError, r"56 frames \(2\.33 s at 24 fps\) .* 48 frames, 2 s at 24 fps"),
        ({"music": "calm"}, ConfigError, "music is of a sound, and audio_length was not given; give the seconds"),
        ({"sound_prompt": ""}, ConfigError, "sound_prompt is of a sound"),
        ({"sound_options": {"seed": 1}}, ConfigError, "sound_options is of a sound"),
        ({"height": 100}, ShapeError, "height 100 must be a multiple of 16 pixels from 16 to 64; use 64"),
        ({"width": 40}, ShapeError, "use 32"),
        ({"width": 4096}, ShapeError, "from 16 to 64; use 64"),
        ({"height": -16}, ShapeError, "use 16"),
        ({"fps": 0}, ConfigError, "outside of 1 to 120"),
        ({"fps": float("nan")}, ConfigError, "outside of 1 to 120"),
        ({"steps": 0}, ConfigError, "outside of 1 to 1000"),
        ({"steps": 2.0}, ConfigError, r"steps is 2\.0; give a whole number"),
        ({"num_frames": 8.0}, ConfigError, r"num_frames is 8\.0; give a whole number"),
        ({"height": "64"}, ConfigError, "height is '64'; give a whole number"),
        ({"guidance_scale": 1e30}, ConfigError, "must lie from 0 to 100"),
        ({"seed": -1}, ConfigError, "use a number in that range"),
        ({"guidance_scale": float("inf")}, ConfigError, "the paper uses 7.5"),
        ({"temperature": -0.1}, ConfigError, "1 is the noise as trained"),
        ({"temperature": float("nan")}, ConfigError, "must lie from 0 to 2"),
        ({"temperature": "hot"}, ConfigError, "temperature is 'hot'; give a number"),
        ({"guidance_scale": "7"}, ConfigError, "guidance_scale is '7'; give a number"),
        ({"fps": None}, ConfigError, "fps is None; give a number"),
        ({"audio_length": "1"}, ConfigError, "seconds is '1'; give a number"),
        ({"negative": None, "camera": "pan left"}, ConfigError, "a prompt must be one string"),
        ({"camera": 5}, ConfigError, "no known camera motion"),
        ({"schedule": "cubic"}, ConfigError, "use one of"),
        ({"solver": "heun"}, ConfigError, "use one of"),
        ({"steps": 9, "emulated_steps": 5}, ConfigError, "fewer than the 9 steps"),
    ],
)
def test_impossible_setting_is_refused_before_the_work(pipeline, monkeypatch, change, error, remedy):
    monkeypatch.delattr(MovieGenPipeline, "_encode")
    with pytest.raises(error, match=remedy):
        pipeline("a ball", **{**SMALL, **change})


def test_list_of_prompts_is_refused(pipeline):
    for more in ({}, {"camera": "pan left"}):
        with pytest.raises(ConfigError, match="once for each prompt"):
            pipeline(["a ball", "a fish"], **SMALL, **more)


def test_raising_from_on_step_cancels(pipeline):
    seen = []

    def stop(step, steps, estimate):
        seen.append((step, steps, tuple(estimate.shape)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline("a ball", **SMALL, on_step=stop)
    assert seen == [(1, 2, (1, 16, 2, 4, 6))]


def test_interrupt_while_writing_leaves_no_file(tmp_path):
    def decode(latent, num_frames):
        yield torch.zeros(1, 3, 4, 16, 16)
        raise KeyboardInterrupt

    film = Film(torch.zeros(1, 16, 1, 2, 2), 8, 16, decode)
    with pytest.raises(KeyboardInterrupt):
        film.save(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_saved_film_takes_the_place_of_a_file_of_its_name(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"an older one")
    film = Film(torch.zeros(1, 16, 1, 2, 2), 8, 16, lambda latent, count: iter([torch.zeros(1, 3, count, 16, 16)]))
    assert read_movie(film.save(tmp_path / "film.mp4")).num_frames == 8
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def white(num_frames, **told) -> Film:
    """A film of 16 x 32 white pixels."""
    windows = [torch.ones(1, 3, num_frames, 16, 32)]
    return Film(torch.zeros(1, 16, 1, 2, 4), num_frames, 16, lambda *_: iter(windows), **told)


@pytest.mark.parametrize("name", ["one.png", "one.JPG", "one.jpeg", "one.webp"])
def test_film_of_one_frame_is_saved_as_a_picture_without_its_sound(tmp_path, caplog, name):
    film = white(1, facts={"prompt": "a ball \N{BALLOON}"}, sound=Sound(torch.zeros(1, 3000)))
    with Image.open(film.save(tmp_path / name)) as image:
        assert (image.size, image.convert("RGB").getpixel((5, 5))) == ((32, 16), (255, 255, 255))
        if name.endswith("png"):
            assert json.loads(image.text["moviegen"]) == film.facts
    assert f"{name} is a picture: the film's sound is left out" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_picture_cannot_hold_is_refused(tmp_path):
    with pytest.raises(MediaError, match=r"holds one frame, and the film has 8; end the name in \.mp4 or"):
        white(8).save(tmp_path / "film.png")
    with pytest.raises(ConfigError, match="a picture has no option crf; it has none"):
        white(1).save(tmp_path / "one.png", crf=3)
    with pytest.raises(ConfigError, match=r"a film has no option fps, quality; it has waveform, .*, crf, preset"):
        white(8).save(tmp_path / "film.mp4", quality=3, fps=8)
    assert list(tmp_path.iterdir()) == []


def test_film_is_decoded_in_windows(pipeline):
    film = pipeline("a ball", num_frames=48, height=16, width=16, steps=1)
    windows = list(film.windows())
    assert len(windows) > 1
    assert torch.equal(torch.cat(windows, dim=2), film.frames())
    assert film.frames().shape == (1, 3, 48, 16, 16)
    assert film.duration_seconds == 3


@pytest.mark.parametrize(("num_frames", "cells"), [(1, (1, 1)), (8, (4, 2)), (48, (4, 3))])
def test_contact_sheet_shows_frames_from_first_to_last(num_frames, cells):
    colours = torch.linspace(-1, 1, num_frames).reshape(1, 1, -1, 1, 1).expand(1, 3, -1, 16, 16)
    film = Film(torch.zeros(1, 16, 1, 2, 2), num_frames, 16, lambda latent, count: iter(colours.split(5, dim=2)))
    sheet = film.contact_sheet()
    columns, rows = cells
    assert ((sheet.width - 2) // columns, (sheet.height - 2) // rows) == (18, 18)
    assert sheet.getpixel((8, 8)) == (0, 0, 0)
    if num_frames > 1:
        assert sheet.getpixel((sheet.width - 8, sheet.height - 8)) == (255, 255, 255)


def test_networks_that_visit_give_the_same_film(folder, pipeline):
    guest = MovieGenPipeline.from_pretrained(folder, device="cpu", dtype="fp32", residency=visit)
    assert torch.equal(guest("a ball", **SMALL).latent, pipeline("a ball", **SMALL).latent)


def test_each_network_is_on_the_device_for_its_own_work_alone(folder):
    came, there, sampling = [], [], []

    @contextmanager
    def noted(network, device):
        assert device == torch.device("cpu")
        assert not there
        came.append(network)
        there.append(network)
        yield network
        there.remove(network)

    guest = MovieGenPipeline.from_pretrained(folder, device="cpu", dtype="fp32", residency=noted)
    film = guest('a sign "GO"', **SMALL, on_step=lambda *_: sampling.append(list(there)))
    assert came == [guest.encoders.ul2, guest.encoders.byt5, guest.video]
    assert sampling == [[guest.video]] * 2
    assert [list(there) for _ in film.windows()] == [[guest.tae]]
    assert there == []


def test_reconstruction_has_the_shape_of_the_clip(pipeline):
    pixels = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    assert torch.cat(list(pipeline.reconstruct(pixels)), dim=2).shape == pixels.shape


@pytest.mark.parametrize(
    ("pixels", "given"),
    [
        (torch.zeros(3, 16, 32, 32), r"shape \(3, 16, 32, 32\)"),
        (torch.zeros(1, 4, 8, 32, 32), r"shape \(1, 4, 8, 32, 32\)"),
        (np.zeros((1, 3, 8, 32, 32)), "type ndarray"),
    ],
)
def test_what_is_no_clip_is_not_reconstructed(pipeline, pixels, given):
    with pytest.raises(ShapeError, match=rf"pixels of {given} were given; give a tensor \[B, 3, T, H, W\]"):
        pipeline.reconstruct(pixels)


def test_missing_encoder_is_left_out_and_the_log_says_so(folder, caplog):
    with caplog.at_level(logging.WARNING):
        MovieGenPipeline.from_pretrained(folder, device="cpu")
    assert "metaclip" in caplog.text


@pytest.mark.parametrize(
    ("present", "missing"),
    [(("video", "ul2"), "tae"), (("tae", "ul2"), "video"), (("video", "tae"), "at least one of ul2, metaclip, byt5")],
)
def test_folder_without_a_needed_part_is_refused(folder, tmp_path, present, missing):
    for part in present:
        (tmp_path / f"{part}.safetensors").symlink_to(folder / f"{part}.safetensors")
    with pytest.raises(CheckpointError, match=f"lacks {missing}"):
        MovieGenPipeline.from_pretrained(tmp_path)


def test_single_file_is_refused_with_what_is_needed(folder):
    with pytest.raises(CheckpointError, match="give the folder that holds"):
        MovieGenPipeline.from_pretrained(folder / "video.safetensors")


def test_nothing_is_no_model():
    with pytest.raises(ConfigError, match="the model is None; give the name of a shipped one"):
        MovieGenPipeline.from_pretrained(None)


def test_autoencoder_of_another_model_is_refused(folder, tmp_path):
    for part in ("video", "ul2"):
        (tmp_path / f"{part}.safetensors").symlink_to(folder / f"{part}.safetensors")
    tae = loading.load(folder / "tae.safetensors")
    other = TAE(replace(tae.config, latent_channels=4))
    other.reset_parameters()
    loading.save(other, tmp_path / "tae.safetensors")
    with pytest.raises(
        CheckpointError, match=r"has 4 latent channels and strides of .*, the transformer needs 16, 8 and"
    ):
        MovieGenPipeline.from_pretrained(tmp_path)
    with pytest.raises(ShapeError, match=r"give \[batch, 4, frames, rows, columns\]"):
        other.decode(torch.zeros(1, 16, 1, 2, 2))


def test_swapped_parts_are_refused(folder, tmp_path):
    for part, other in (("video", "tae"), ("tae", "video"), ("ul2", "ul2")):
        (tmp_path / f"{part}.safetensors").symlink_to(folder / f"{other}.safetensors")
    with pytest.raises(CheckpointError, match="is needed"):
        MovieGenPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize("loaded", [True, False])
def test_lora_is_taken_away_from_rounded_weights_without_a_trace(folder, tmp_path, loaded):
    pipeline = MovieGenPipeline.from_pretrained(folder, device="cpu", dtype="bf16")
    if not loaded:
        pipeline = MovieGenPipeline(pipeline.video, pipeline.tae, pipeline.encoders, pipeline.placement)
    weight = pipeline.video.blocks[0].mlp.up.weight
    before = weight.clone()
    layer = "diffusion_model.blocks.0.mlp.up"
    tensors = {f"{layer}.lora_A.weight": torch.rand(1, 32), f"{layer}.lora_B.weight": torch.rand(48, 1)}
    path = loading.write_tensors(tensors, tmp_path / "lora.safetensors")
    assert not torch.equal(pipeline.add_lora(path, 0.3).video.blocks[0].mlp.up.weight, before)
    film = pipeline("a ball", num_frames=8, height=32, width=32, steps=1, show_text="HI")
    assert (film.facts["loras"], film.facts["show_text"]) == ([["lora.safetensors", 0.3]], "HI")
    for strength in (-0.1, -0.2):  # in these numbers something is left of it
        pipeline.add_lora(path, strength)
    assert torch.equal(weight, before)
    assert pipeline.added.strengths == []


def test_pipelines_are_exported_by_the_package():
    assert moviegen_core.MovieGenPipeline is MovieGenPipeline
    assert moviegen_core.SoundPipeline.__name__ == "SoundPipeline"
    assert {"MovieGenPipeline", "SoundPipeline", "__version__"} <= set(dir(moviegen_core))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = moviegen_core.Nothing
