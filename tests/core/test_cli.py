"""The `moviegen` command: one line for every mistake, an exit code, nothing half-written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moviegen_core import cli
from moviegen_core.cli.common import claimed
from moviegen_core.errors import ConfigError

WORKFLOW = Path(__file__).parents[2] / "workflows" / "text_to_video.json"


def failing(error: BaseException):
    """A parser whose only command raises `error`."""

    def build():
        parser = cli.argparse.ArgumentParser()
        parser.set_defaults(verbose=False, run=lambda _: raise_(error))
        return parser

    return build


def raise_(error: BaseException):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("given, needed,\nwhat to do"), 2, "moviegen: given, needed, what to do"),
        (KeyboardInterrupt(), 130, "moviegen: interrupted"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x/film.mp4"),
            2,
            "the disk is full while writing x/film.mp4",
        ),
        (PermissionError(errno.EACCES, "no", "film.mp4"), 2, "film.mp4 may not be read or written; correct its rights"),
        (FileExistsError(errno.EEXIST, "no", "runs"), 2, "runs stands where a folder is needed; move it away"),
        (FileNotFoundError(errno.ENOENT, "no", "a.json"), 2, "a.json does not exist; check the name"),
        (OSError(errno.EIO, "Input/output error", "a.json"), 2, "moviegen: a.json: Input/output error"),
        (RuntimeError("a\nbug"), 2, "moviegen: RuntimeError: a bug; MOVIEGEN_DEBUG=1 shows where"),
        (MemoryError(), 2, "make the clip shorter"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            2,
            "memory ran out",
        ),
    ],
)
def test_every_failure_is_one_line_and_an_exit_code(monkeypatch, capsys, error, code, line):
    monkeypatch.setattr(cli, "build_parser", failing(error))
    assert cli.main([]) == code
    shown = capsys.readouterr().err
    assert line in shown
    assert shown.count("\n") == 1


def test_deleted_folder_is_told(monkeypatch, capsys, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(cli, "build_parser", lambda: Path.cwd())
    assert cli.main([]) == 2
    assert "the folder of this terminal was deleted; change to another one" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("swallowed", [False, True])
def test_whoever_is_told_to_end_leaves_by_the_way_of_ctrl_c(monkeypatch, capsys, number, swallowed):
    def told():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            if swallowed:
                raise ImportError("cannot import name x") from None
            raise

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    found = signal.signal(number, usual)  # in the background Ctrl-C is ignored
    try:
        monkeypatch.setattr(cli, "build_parser", told)
        assert cli.main([]) == 128 + number
        assert capsys.readouterr().err == "moviegen: interrupted; no unfinished file was left\n"
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, found)


def test_signal_that_is_ignored_stays_so(monkeypatch):
    def told():
        signal.raise_signal(signal.SIGHUP)
        raise ConfigError("went on")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(cli, "build_parser", told)
        assert cli.main([]) == 2
    finally:
        signal.signal(signal.SIGHUP, before)


def test_name_is_printed_where_the_terminal_has_no_letters_for_it(tmp_path):
    code = "import sys; from moviegen_core import cli; from moviegen_core.errors import ConfigError\n"
    code += "def f():\n    print('caf\\xe9.mp4')\n    raise ConfigError('caf\\xe9')\n"
    code += "cli.build_parser = f; sys.exit(cli.main([]))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, b"caf\\xe9.mp4\n", b"moviegen: caf\\xe9\n")


def test_name_that_another_command_is_about_to_write_is_refused(tmp_path):
    film = tmp_path / "new" / "film.mp4"
    with (
        claimed(film),
        pytest.raises(ConfigError, match=r"film\.mp4 is being made by another command; choose another name, or wait"),
        claimed(film.parent / ".." / "new" / "film.mp4", force=True),
    ):
        pass
    film.parent.mkdir()
    film.touch()
    with pytest.raises(ConfigError, match="exists already"), claimed(film):
        pass
    with claimed(film, force=True):
        pass


def test_debugging_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setenv("MOVIEGEN_DEBUG", "1")
    assert cli.main(["make", "x", "--seconds", "-1"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["make", "x", "--seconds", "-1"], "use a number above 0"),
        (["make", "x", "--seconds", "nan"], "use a number above 0"),
        (["make", "x", "-o", "film.txt"], "must end in .mp4"),
        (["make", "x", "-o", "{folder}/x.png"], "holds one frame, and 64 were asked for; add --frames 1"),
        (["make", "x", "--frames", "1", "--stereo", "-o", "{folder}/x.png"], "is a picture, which has no sound"),
        (["make", "x", "--fps", "0"], "fps 0 is outside of 1 to 120"),
        (["make", "x", "--model", "missing/folder", "-o", "{folder}/film.mp4"], "neither a shipped model nor a folder"),
        (["make", "x", "--device", "toaster", "-o", "{folder}/film.mp4"], "use auto or one of"),
        (["make", "x", "--no-sound", "--music", "calm", "-o", "{folder}/film.mp4"], "--no-sound leaves nothing"),
        (["make", "x", "--sound-picture", "x.txt", "-o", "{folder}/film.mp4"], "must end in .png"),
        (["run", "x.json", "--set", "seed"], "must look like NAME=VALUE"),
        (["run", "{folder}/none.json"], "none.json"),
        (["train", "nothing"], "no recipe is called 'nothing'; use nano"),
        (["train", "nano", "--set", "steps=3"], "write nano-text.steps"),
        (["train", "nano-tae", "--set", "joint.steps=fast"], "steps is 'fast', but needs a whole number or null"),
        (["train", "nano-tae", "--set", "joint.step=3"], "its fields below joint are minutes, steps"),
        (["train", "nano-tae", "--dtype", "float16"], "train in bfloat16 or float32"),
        (["train", "nano-tae", "--workers", "-1"], "render_workers -1 must be at least 0"),
        (["evaluate", "video", "--set", "prompts=many"], "prompts is 'many', but needs a whole number"),
        (["evaluate", "codec", "--set", "clips=1.5"], "clips is 1.5, but needs a whole number"),
        (["evaluate", "video", "--set", "guidance_scale=high"], "is 'high', but needs a number or null"),
        (["studio", "--port", "99999"], "outside of 0 to 65535"),
        (["studio", "--folder", __file__], "is a file; name a folder"),
        (["evaluate", "nothing"], "choose one of"),
        (
            ["evaluate", "video", "--set", "model=runs/mine", "--record"],
            "the figures are of runs/mine, which is not sh",
        ),
        (["evaluate", "video", "--set", "colour=3"], "has no option 'colour'; it has model, prompts"),
        (["convert", "{folder}/no.pth", "{folder}/x.safetensors", "--network", "tae", "--preset", "nano"], "no.pth"),
    ],
)
def test_bad_argument_is_refused_in_one_line(tmp_path, capsys, arguments, line):
    assert cli.main([argument.format(folder=tmp_path) for argument in arguments]) == 2
    shown = capsys.readouterr().err
    assert line in shown
    assert shown.startswith("moviegen: ")
    assert shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_folder_instead_of_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "film.mp4").mkdir()
    assert cli.main(["make", "x", "-o", str(tmp_path / "film.mp4")]) == 2
    assert "is a folder; give a file name" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", str(WORKFLOW), "--list-settings"]], ids=lambda arguments: arguments[0]
)
def test_reader_that_goes_away_is_no_mistake(tmp_path, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from moviegen_core import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, "PYTHONUNBUFFERED": ""}
    run = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, env=env, check=False)
    os.close(writing)
    assert (run.returncode, run.stderr) == (141, b"")


def test_missing_command_shows_the_commands(capsys):
    assert cli.main([]) == 2
    assert "make a film from a prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["make"], "required: prompt; see: moviegen make --help"),
        (["mak"], "invalid choice: 'mak'"),
        (["make", "x", "--frames", "many"], "--frames: invalid int value: 'many'; see: moviegen make --help"),
        (["make", "x", "--frames", "3", "--seconds", "3"], "not allowed with argument"),
        (["make", "a", "red", "ball"], 'red ball; the prompt goes in quotes, as in "a red ball"; see: moviegen make'),
        (["make", "x", "--secnds", "3"], "unrecognized arguments: --secnds 3; see: moviegen make --help"),
        (["models", "all"], "unrecognized arguments: all; see: moviegen models --help"),
    ],
)
def test_misused_option_is_told_in_one_line_that_points_to_help(capsys, arguments, line):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert line in shown
    assert shown.startswith("moviegen: ")
    assert shown.count("\n") == 1


def test_doctor_tells_what_would_be_chosen_and_why(capsys):
    assert cli.main(["doctor", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "chosen: cpu, " in shown
    assert "attention: sdpa is chosen" in shown
    assert "flash: needs a CUDA device" in shown


def test_models_lists_the_paper_model_with_its_size():
    rows = list(cli.parameter_table())
    sizes = {(network, preset): (total, parts) for network, preset, total, parts in rows}
    assert len(sizes) == len(rows)
    total, parts = sizes["video_dit", "30b"]
    assert parts["blocks"] == pytest.approx(28.99e9, rel=0.01)
    assert total == pytest.approx(29.4e9, rel=0.01)
    assert {network for network, _ in sizes} >= {"video_dit", "tae", "text", "audio_dit", "audio_codec"}
    assert [preset for network, preset in sizes if network == "text"].count("ul2") == 1
    assert all(sum(parts.values()) == total for _, _, total, parts in rows if parts)
    assert sizes["vision", "nano"][0] < sizes["vision", "l14"][0] == pytest.approx(303e6, rel=0.01)


def test_progress_off_a_terminal_prints_ten_lines(capsys):
    progress = cli.Progress("sampling")
    for step in range(1, 51):
        progress.show(step, 50)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("moviegen: sampling: step 50/50, ")


def test_progress_counts_its_time_from_the_first_step(capsys):
    progress = cli.Progress("sound")
    progress.show(5, 50)
    assert capsys.readouterr().err == "moviegen: sound: step 5/50\n"
    progress.show(10, 50)
    assert capsys.readouterr().err.startswith("moviegen: sound: step 10/50, ")


def test_bench_shows_its_figures_and_where_all_of_them_are(tmp_path, capsys):
    arguments = ["--set", "clips=1", "--set", "tiled=0", "--set", "num_frames=8", "--set", "size=32"]
    assert cli.main(["evaluate", "tae", "--output", str(tmp_path), *arguments]) == 0
    shown = capsys.readouterr()
    assert "psnr_db: " in shown.out
    assert "tae: clip 1/1" in shown.err
    assert str(tmp_path / "tae.json") in shown.err
    first = (tmp_path / "tae.json").read_bytes()
    assert cli.main(["evaluate", "tae", "--output", str(tmp_path), *arguments, "--set", "num_frames=16"]) == 0
    assert f"the figures of before are kept as {tmp_path / 'tae-1.json'}" in capsys.readouterr().err
    assert (tmp_path / "tae-1.json").read_bytes() == first != (tmp_path / "tae.json").read_bytes()


def hear_interrupts():
    """A shell that runs the tests in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_interrupt_ends_with_one_line():
    code = "import time; from moviegen_core import cli; p = cli.argparse.ArgumentParser(); "
    code += "p.set_defaults(verbose=False, run=lambda _: (print('up', flush=True), time.sleep(60))); "
    code += "cli.build_parser = lambda: p; raise SystemExit(cli.main([]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=20)
    assert process.returncode == 130
    assert shown == "moviegen: interrupted; no unfinished file was left\n"


def test_command_is_installed_beside_python():
    script = Path(sys.executable).with_name("moviegen")
    if not script.exists():
        pytest.skip("the project is not installed in this environment")
    result = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("moviegen ")
