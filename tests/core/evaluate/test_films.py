"""Films of the video model, heard by the sound model: landings seen against onsets heard."""

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


def test_landings_are_heard_where_they_are_seen_and_by_chance_elsewhere():
    seen, heard, late = [[0.5, 1.25], [1.0], []], [[0.5, 1.25], [1.0], [0.3]], [[1.5, 2.25], [0.0], []]
    found = films.film_figures(seen, heard, 2.0)
    assert (found["with landings"], found["landings"], found["recall"]) == (2, 3, 1.0)
    # Of seven turns by a quarter of a second, the third puts one onset on the other hit, the fifth the other way round.
    assert found["recall by chance"] == pytest.approx(2 / 21)
    assert films.film_figures(seen, late, 2.0)["recall"] == 0.0
