"""The workflow files of sound, run whole on the shipped models."""

from __future__ import annotations

from pathlib import Path

import pytest
from films import packets_of

from moviegen_core.media.movie import read_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import timeline
from moviegen_host.run import Host

WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """One host, so that each network is loaded once."""
    return Host(output=tmp_path_factory.mktemp("sound_out"), input_directory=WORKFLOWS)


@pytest.fixture
def run(host):
    """A workflow by name with other settings -> the files it wrote."""
    return lambda name, **settings: host.run(WORKFLOWS / f"{name}.json", settings).written


def test_sentence_becomes_a_film_with_sound(run):
    settings = {"width": 32, "height": 32, "length": 20, "steps": 2, "sound_steps": 2, "candidates": 2}
    [film] = run("text_to_movie", prompt="a red ball", **settings)
    movie = read_movie(film)
    assert (movie.num_frames, movie.fps, movie.sample_rate) == (20, 16, 48000)
    heard, _ = read_sound(film)
    assert heard.shape[0] == 2
    assert abs(heard.shape[1] - 60000) <= 1024
    assert heard.std() > 1e-4
    assert {"workflow", "prompt"} <= set(movie.metadata)


def test_any_video_gets_a_sound_and_keeps_its_picture(run):
    [film] = run("sound_for_any_video", steps=2, candidates=1)
    source = WORKFLOWS / "bouncing_ball.mp4"
    assert packets_of(film) == packets_of(source)
    assert timeline(film).seconds == timeline(source).seconds == 4
    heard, rate = read_sound(film)
    assert abs(heard.shape[1] - 4 * rate) <= 1024
    assert heard.std() > 1e-4


def test_words_become_a_sound_of_the_seconds_asked_for(run):
    [file] = run("text_to_sound", prompt="rain", seconds=1.37, steps=2, channels="mono")
    heard, rate = read_sound(file)
    assert heard.shape == (1, round(1.37 * rate))


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_long_sound_is_made_in_windows(method, run):
    settings = {"window_seconds": 2.0, "context_seconds": 0.5, "method": method}
    [file] = run("long_sound", seconds=6.5, steps=2, **settings)
    heard, rate = read_sound(file)
    assert heard.shape == (2, round(6.5 * rate))
    assert heard[:, -rate:].std() > 1e-4


def test_bundled_video_is_small():
    assert (WORKFLOWS / "bouncing_ball.mp4").stat().st_size < 100_000
