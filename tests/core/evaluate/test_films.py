"""Films of the video model, heard by the sound model: landings seen against onsets heard."""

import math

import pytest
import torch

from moviegen_core import MovieGenPipeline, SoundPipeline
from moviegen_core.evaluate import films
from moviegen_core.evaluate.onsets import true_hits
from moviegen_core.media.frames import from_uint8
from moviegen_core.toybox import render, sample_scene


def test_landings_of_a_toybox_clip_are_seen_at_its_hits():
    scene = sample_scene(8_800_002, split="test", motion="bounce", camera="static", weather="clear")
    frames = render(scene, num_frames=64, fps=16, height=128, width=128)
    assert films.landings(from_uint8(frames), 16) == pytest.approx(true_hits(scene, 4.0), abs=0.04)


def test_landing_at_the_very_end_does_not_count(monkeypatch):
    monkeypatch.setattr(films, "impacts", lambda pixels, fps: [0.01, 0.5, 0.97])
    assert films.landings(torch.zeros(3, 16, 8, 8), 16) == [0.5]


def test_films_of_a_model_are_measured_beside_real_ones(film_folder, sound_folder):
    """The models are random, so nothing lands in their films; in real ones something does."""
    movies = MovieGenPipeline.from_pretrained(film_folder, device="cpu", dtype="fp32")
    sounds = SoundPipeline.from_pretrained(sound_folder, device="cpu", dtype="fp32")
    told = []
    found = films.hear_films(movies, sounds, 1, 2.5, 2, lambda *what: told.append(what), size=64)
    assert told == [("films", 1, 1)]
    assert found["generated"]["landings"] == 0
    assert found["real"]["landings"] == 2
    assert found["median error of tracking (ms)"] < 40
    table = films.film_table(found)
    assert len(table) == 4
    assert table[3].startswith("| real | 1 of 1 | ")


def test_chance_of_every_film_is_that_of_another_and_of_a_film_alone_unknown():
    seen, alike, other = [[0.5, 1.0], [0.5, 1.0], [2.0]], [[0.5, 1.0], [0.5, 1.0], [2.0]], [[2.0], [0.5, 1.0], [0.5]]
    assert films.film_figures(seen, alike)["recall"] == 1.0
    assert films.film_figures(seen, alike)["recall by chance"] == pytest.approx(2 / 5)  # the second hears the first
    assert films.film_figures(seen, other)["recall by chance"] == pytest.approx(1 / 5)  # the first hears the last
    assert films.film_figures(seen, other)["with landings"] == 3
    assert math.isnan(films.film_figures(seen[:1], alike[:1])["recall by chance"])
