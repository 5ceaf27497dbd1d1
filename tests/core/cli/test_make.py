"""moviegen make: every option reaches the film."""

from __future__ import annotations

import pytest

from moviegen_core.cli import main
from moviegen_core.media.movie import read_movie


def make(*arguments) -> int:
    return main(["make", *map(str, arguments)])


def test_every_option_of_the_film_reaches_it_and_is_told_in_it(film_folder, tmp_path):
    told = {"camera": "zoom in", "negative": "red", "seconds": 0.5, "fps": 24, "height": 32, "width": 48, "seed": 7}
    told |= {"steps": 3, "guidance": 2.0, "schedule": "linear", "solver": "midpoint", "temperature": 0.5}
    options = [part for name, value in told.items() for part in (f"--{name}", value)]
    assert make("a ball", "--model", film_folder, "--device", "cpu", "-o", tmp_path / "film.mp4", *options) == 0
    movie = read_movie(tmp_path / "film.mp4")
    assert (movie.num_frames, movie.fps, movie.height, movie.width) == (12, 24, 32, 48)
    facts = {"prompt": "Zoom in. a ball", "guidance_scale": 2.0}
    facts |= {name: told[name] for name in ("negative", "seed", "steps", "schedule", "solver", "temperature")}
    assert facts.items() <= movie.metadata["moviegen"].items()


def test_unknown_camera_motion_is_refused_before_the_model_is_loaded(tmp_path, capsys):
    assert make("a ball", "--camera", "wobble", "--model", tmp_path, "-o", tmp_path / "film.mp4") == 2
    shown = capsys.readouterr().err
    assert "'wobble' is no known camera motion; use one of zoom in" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "file"), [("a.safetensors", "a.safetensors"), ("a.safetensors=0.5", "a.safetensors"), ("a=b", "a=b")]
)
def test_strength_of_a_lora_is_told_apart_from_an_equals_sign_in_its_name(tmp_path, capsys, given, file):
    assert make("a ball", "--lora", tmp_path / given, "-o", tmp_path / "film.mp4") == 2
    assert f"there is no file {tmp_path / file};" in capsys.readouterr().err
