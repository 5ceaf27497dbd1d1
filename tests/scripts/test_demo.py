"""The demo: films under names that a second run writes again, and one sheet of them all with their prompts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image

from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import write_sound


@pytest.fixture(scope="module")
def demo():
    """scripts/demo.py as a module."""
    path = Path(__file__).parents[2] / "scripts" / "demo.py"
    spec = importlib.util.spec_from_file_location("moviegen_demo", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sheet_has_one_named_row_of_frames_for_each_film(demo, tmp_path):
    films = []
    for name, level in (("dark", -1.0), ("bright", 1.0)):
        write_movie(torch.full((1, 3, 10, 32, 32), level), tmp_path / f"{name}.mp4", 16)
        films.append(tmp_path / f"{name}.mp4")
    demo.write_sheet(films, ["a dark film", "a bright one"], tmp_path / "sheet.png")
    sheet = Image.open(tmp_path / "sheet.png").convert("L")
    assert sheet.width // 32 == 8
    top, bottom = sheet.height // 4 - 8, 3 * sheet.height // 4 - 8
    assert sheet.getpixel((20, top)) < 20
    assert sheet.getpixel((20, bottom)) > 235
    for name in (sheet.crop((4, half - 16, sheet.width, half)) for half in (sheet.height // 2, sheet.height)):
        assert name.getextrema()[1] > 200


def test_every_prompt_of_the_demo_has_a_name_of_its_own(demo):
    names = {demo.slug(prompt) for prompt in demo.PROMPTS}
    assert len(names) == len(demo.PROMPTS)
    assert demo.slug("🎈!") == "film"


def test_demo_writes_the_same_files_when_it_is_repeated(demo, tmp_path):
    for _ in range(2):
        assert demo.main(["--output", str(tmp_path), "--seconds", "0.5", "A red ball bounces."]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    film = read_movie(tmp_path / "a_red_ball_bounces.mp4")
    assert film.num_frames == 8
    assert written == {"a_red_ball_bounces.mp4", "contact_sheet.png", "sounds.png"}
    assert abs(film.waveform.shape[1] - 24_000) <= 1024


def test_pictures_of_the_sounds_stand_in_two_columns(demo, tmp_path):
    names = ["one", "two", "three"]
    films = [write_sound(0.5 * torch.rand(1, 9600), 48_000, tmp_path / f"{name}.wav") for name in names]
    demo.write_sounds(films, names, tmp_path / "sounds.png")
    sheet = Image.open(tmp_path / "sounds.png")
    assert sheet.width // 640 == 2
    assert sheet.height // 180 == 2
