"""moviegen make: every option reaches the film, which outlives its sound; nothing that exists is lost."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from moviegen_core.cli import main
from moviegen_core.errors import MediaError
from moviegen_core.media.formats import PICTURE_ENDINGS
from moviegen_core.media.movie import read_movie
from moviegen_core.pipelines.movie import MovieGenPipeline


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


@pytest.mark.parametrize("ending", [".m4v", ".mov", ".mkv", *PICTURE_ENDINGS])
def test_one_frame_is_written_as_a_film_or_a_picture(film_folder, tmp_path, capsys, ending):
    target = tmp_path / f"one{ending}"
    size = ["--frames", 1, "--height", 32, "--width", 48, "--steps", 1, "--device", "cpu"]
    assert make("a ball", "--model", film_folder, *size, "-o", target) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(target)]
    assert list(tmp_path.iterdir()) == [target]
    assert ("shows pictures alone" in shown.err) == (ending not in PICTURE_ENDINGS)
    if ending in PICTURE_ENDINGS:
        with Image.open(target) as image:
            assert image.size == (48, 32)
    else:
        assert read_movie(target).num_frames == 1


def test_film_that_is_too_long_is_told_in_what_was_asked_for(film_folder, tmp_path, capsys):
    asked = ["--seconds", 4, "--height", 32, "--width", 32, "-o", tmp_path / "film.mp4"]
    assert make("a ball", "--model", film_folder, *asked) == 2
    told = "64 frames (4 s at 16 fps) are outside of what this model makes; use 1 to 48 frames, 3 s at 16 fps"
    assert told in capsys.readouterr().err


def test_help_of_make_tells_what_the_shipped_model_knows(capsys):
    with pytest.raises(SystemExit, match="0"):
        make("--help")
    assert "knows a toy world only: docs/toybox.md" in " ".join(capsys.readouterr().out.split())


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


def test_command_line_makes_a_film_with_sound_where_there_are_weights(film_folder, sound_folder, tmp_path, capsys):
    both = tmp_path / "model"
    both.mkdir()
    for file in (*film_folder.iterdir(), *sound_folder.iterdir()):
        (both / file.name).symlink_to(file)
    size = ["--frames", "12", "--height", "32", "--width", "32", "--steps", "2", "--device", "cpu", "--dtype", "fp32"]
    heard, silent, picture = (tmp_path / name for name in ("heard.mp4", "silent.mp4", "sound.png"))
    options = ["--sound-picture", str(picture), "--music", "calm", "--stereo"]
    assert main(["make", "ball", "--model", str(both), *size, "-o", str(heard), *options]) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(heard), str(picture)]
    assert "watching the film: frame 12/12" in shown.err
    assert "sound: step 2/2" in shown.err
    assert read_movie(heard).waveform.shape[0] == 2
    assert main(["make", "ball", "--model", str(both), *size, "-o", str(silent), "--no-sound"]) == 0
    assert read_movie(silent).waveform is None
    capsys.readouterr()
    size.append("--force")
    assert main(["make", "ball", "--model", str(film_folder), *size, "-o", str(silent)]) == 0
    assert "this one shows pictures alone" in capsys.readouterr().err
    assert main(["make", "ball", "--model", str(film_folder), *size, "-o", str(silent), "--music", "calm"]) == 2
    assert "it lacks audio" in capsys.readouterr().err
    for eye in ("metaclip_vision", "sound_match"):
        (both / f"{eye}.safetensors").unlink(missing_ok=True)
    assert main(["make", "ball", "--model", str(both), *size, "-o", str(silent), "--music", "calm"]) == 2
    shown = capsys.readouterr().err
    assert "has no frame encoder" in shown
    assert "sampling" not in shown
    assert main(["make", "ball", "--model", str(both), *size, "-o", str(silent)]) == 0
    assert read_movie(silent).waveform is None


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MediaError("no ears today"), 2, "no ears today"),
        (torch.OutOfMemoryError("CUDA out of memory"), 2, "memory ran out"),
        (MemoryError(), 2, "memory ran out"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), 2, "memory ran out"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_film_outlives_a_sound_that_fails(sounding, tmp_path, monkeypatch, capsys, error, code, line):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(MovieGenPipeline, "from_pretrained", lambda *_, **__: sounding)
    monkeypatch.setattr(MovieGenPipeline, "add_sound", fail)
    film = tmp_path / "film.mp4"
    size = ["--frames", "9", "--height", "32", "--width", "32", "--steps", "1"]
    assert main(["make", "ball", *size, "-o", str(film), "--music", "calm"]) == code
    shown = capsys.readouterr().err
    assert "is kept, without the sound" in shown
    assert shown.splitlines()[-1].startswith(f"moviegen: {line}")
    assert read_movie(film).num_frames == 9


def test_films_and_pictures_that_exist_are_kept(tmp_path, capsys):
    film, sheet = tmp_path / "film.mp4", tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    arguments = ["make", "ball", "-o", str(film), "--sheet", str(sheet)]
    assert main(arguments) == 2
    assert f"{sheet} exists already" in capsys.readouterr().err
    assert sheet.read_bytes() == b"mine"


def test_two_pictures_under_one_name_are_refused(tmp_path, capsys):
    pictures = ["--sheet", str(tmp_path / "a.png"), "--sound-picture", str(tmp_path / "b" / ".." / "a.png")]
    assert main(["make", "ball", "-o", str(tmp_path / "film.mp4"), *pictures, "--force"]) == 2
    assert "a.png was named for two files; choose another name" in capsys.readouterr().err


def test_command_line_makes_the_film_and_its_sheet(film_folder, tmp_path, capsys):
    film, sheet = tmp_path / "deep" / "film.mp4", tmp_path / "deep" / "sheet.png"
    arguments = f"make ball --model {film_folder} --frames 9 --height 32 --width 32 --steps 2 -o {film} --sheet {sheet}"
    assert main([*arguments.split(), "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(film), str(sheet)]
    assert "step 2/2" in shown.err
    assert sorted(path.name for path in film.parent.iterdir()) == ["film.mp4", "sheet.png"]
