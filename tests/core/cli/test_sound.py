"""moviegen sound: films, words and known sound to files, and one line for every mistake."""

from __future__ import annotations

import math

import pytest
import torch
from films import packets_of, write_stamps
from PIL import Image

from moviegen_core.cli import main
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import read_sound, write_sound
from moviegen_core.media.timeline import timeline


def moviegen(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def run(sound_folder):
    """Runs `moviegen sound` with the tiny networks."""
    return lambda *arguments: moviegen("sound", *arguments, "--model", sound_folder, "--device", "cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Films and sounds to work on."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    pictures = torch.rand(3, 12, 32, 48) * 2 - 1
    tone = 0.4 * torch.sin(torch.arange(48_000) / 30)[None]
    write_movie(pictures, folder / "silent.mp4", 24)
    write_movie(pictures[:, :1], folder / "one.mp4", 24)
    write_movie(pictures, folder / "loud.mkv", 29.97, tone[:, :24_000])
    write_sound(tone, 48_000, folder / "tone.wav")
    write_sound(tone[:, :8000].expand(2, -1), 8000, folder / "low.wav")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no film")
    Image.new("RGB", (32, 32)).save(folder / "sheet.png")
    surround_file(folder / "surround.wav")
    broken_file(folder / "broken.wav")
    write_stamps(folder / "varying.mkv", (0, 40, 80, 240, 300, 540))
    return folder


def surround_file(path):
    """8 channels at 48 kHz, 0.5 s."""
    import wave

    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(8)
        stream.setsampwidth(2)
        stream.setframerate(48_000)
        stream.writeframes((torch.randn(24_000 * 8) * 3000).to(torch.int16).numpy().tobytes())


def broken_file(path):
    """Float samples, some of which are NaN, infinite or far beyond full scale."""
    import av

    samples = torch.sin(torch.arange(24_000) / 30)[None] * 9
    samples[:, 100:200], samples[:, 300:310] = math.nan, math.inf
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.numpy(), format="flt", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["silent.mp4", "one.mp4", "loud.mkv", "varying.mkv"])
def test_film_gets_a_sound_of_its_length_and_keeps_its_pictures(run, files, tmp_path, capsys, name):
    output = tmp_path / f"out{name[-4:]}"
    assert run(files / name, "-o", output, "--prompt", "rain") == 0
    shown = capsys.readouterr()
    assert shown.out.split() == [str(output)]
    assert "sampling: step 2/2" in shown.err
    assert packets_of(output) == packets_of(files / name)
    sound, rate = read_sound(output)
    assert abs(sound.shape[1] / rate - float(timeline(output).seconds)) <= 1024 / 48_000 + 0.001
    assert float(sound.abs().max()) > 0.01


def test_sound_of_a_film_as_a_file_is_exact_to_the_sample(run, files, tmp_path):
    for name, samples in (("silent.mp4", 24_000), ("one.mp4", 2000), ("loud.mkv", round(12 * 1001 / 30_000 * 48_000))):
        output = tmp_path / f"{name}.wav"
        assert run(files / name, "-o", output) == 0
        assert read_sound(output)[0].shape == (1, samples)
    assert run(files / "varying.mkv", "-o", tmp_path / "varying.wav") == 0
    assert read_sound(tmp_path / "varying.wav")[0].shape == (1, timeline(files / "varying.mkv").samples(48_000))


def test_own_sound_of_a_film_can_stay_beneath(run, files, tmp_path):
    replaced, mixed = tmp_path / "replaced.mkv", tmp_path / "mixed.mkv"
    assert run(files / "loud.mkv", "-o", replaced) == 0
    assert run(files / "loud.mkv", "-o", mixed, "--mix", "--gain", "-40") == 0
    tone = read_sound(files / "loud.mkv")[0][:, 2000:18_000]
    alike = [
        float(torch.corrcoef(torch.cat([tone, read_sound(path)[0][:, 2000:18_000]]))[0, 1])
        for path in (mixed, replaced)
    ]
    assert alike[0] > 0.9 > abs(alike[1])


def test_words_make_a_sound_and_its_picture(run, tmp_path, capsys):
    sound, picture = tmp_path / "rain.wav", tmp_path / "rain.png"
    arguments = ("--seconds", 0.5, "--prompt", "rain", "--music", "calm", "--stereo", "-o", sound, "--picture", picture)
    assert run(*arguments) == 0
    assert capsys.readouterr().out.split() == [str(sound), str(picture)]
    assert read_sound(sound)[0].shape == (2, 24_000)
    with Image.open(picture) as drawn:
        assert len(drawn.convert("L").getcolors()) > 10


def test_options_of_the_sampling_reach_the_sound_and_are_told_in_its_film(run, files, tmp_path):
    told = {"steps": 3, "guidance": 2.5, "picture-guidance": 4.0, "temperature": 0.5, "candidates": 2, "window": 3.0}
    told |= {"context": 1.0, "seed": 7, "negative": "wind", "music": "calm"}
    options = [part for name, value in told.items() for part in (f"--{name}", value)]
    assert run(files / "one.mp4", "-o", tmp_path / "out.mkv", "--prompt", "rain", *options) == 0
    facts = {key.lower(): value for key, value in read_movie(tmp_path / "out.mkv").metadata.items()}["moviegen_sound"]
    wanted = {"sound_prompt": "rain", "guidance_scale": 2.5, "picture_guidance": 4.0}
    wanted |= {"window_seconds": 3.0, "context_seconds": 1.0}
    wanted |= {name: told[name] for name in ("steps", "temperature", "candidates", "seed", "negative", "music")}
    assert wanted.items() <= facts.items()


@pytest.mark.parametrize("option", [("--quality", 3), ("--negative", "wind"), ("--method", "multidiffusion")])
def test_option_changes_the_sound(run, tmp_path, option):
    asked = ("--seconds", 1.0, "--window", 0.6, "--context", 0.2, "--prompt", "rain", "-o")
    assert run(*asked, tmp_path / "plain.wav") == run(*asked, tmp_path / "other.wav", *option) == 0
    plain, other = (read_sound(tmp_path / f"{name}.wav")[0] for name in ("plain", "other"))
    assert not torch.allclose(plain, other, atol=1e-3)


def test_known_sound_is_continued_led_up_to_and_mended(run, files, tmp_path):
    tone = read_sound(files / "tone.wav")[0]
    on, up, mended = (tmp_path / f"{name}.wav" for name in ("on", "up", "mended"))
    assert run("--known", files / "tone.wav", "--seconds", 1.5, "-o", on) == 0
    made = read_sound(on)[0]
    assert made.shape == (1, 72_000)
    torch.testing.assert_close(made[:, :46_000], tone[:, :46_000], atol=1e-4, rtol=0)
    assert run("--known", files / "tone.wav", "--at", "end", "--seconds", 1.5, "-o", up) == 0
    torch.testing.assert_close(read_sound(up)[0][:, 27_000:], tone[:, 3000:], atol=1e-4, rtol=0)
    assert run("--known", files / "tone.wav", "--gap", 0.4, 0.6, "-o", mended) == 0
    made = read_sound(mended)[0]
    assert made.shape == (1, 48_000)
    for kept in (slice(0, 18_000), slice(32_000, 48_000)):
        torch.testing.assert_close(made[:, kept], tone[:, kept], atol=1e-4, rtol=0)
    assert not torch.allclose(made[:, 20_000:28_000], tone[:, 20_000:28_000], atol=0.05)


def test_file_of_hours_is_refused_or_read_as_far_as_it_is_needed(run, tmp_path, capsys):
    from fractions import Fraction

    import av

    film, hours = tmp_path / "hours.mkv", tmp_path / "hours.flac"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for at in (0, 10_799):
            picture = av.VideoFrame.from_ndarray(torch.zeros(32, 32, 3, dtype=torch.uint8).numpy(), "rgb24")
            picture.pts, picture.time_base = at, Fraction(1, 1)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert run(film, "-o", tmp_path / "out.mkv") == 2
    assert "one has at most 1800 s: cut the film" in capsys.readouterr().err
    write_sound(torch.zeros(1, 8000 * 1801), 8000, hours)
    assert run("--known", hours, "--at", "0.5", "--seconds", 1, "-o", tmp_path / "out.wav") == 0
    assert run("--known", hours, "--gap", 1, 2, "-o", tmp_path / "other.wav") == 2
    assert "lasts 1800 s or more; cut it first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "channels"), [("surround.wav", 2), ("broken.wav", 1), ("low.wav", 2), ("loud.mkv", 1)]
)
def test_known_sound_of_any_kind_is_understood(run, files, tmp_path, name, channels):
    assert run("--known", files / name, "--seconds", 1.2, "-o", tmp_path / "out.wav") == 0
    assert read_sound(tmp_path / "out.wav")[0].shape == (channels, 57_600)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "give a film, --seconds, or --known"),
        (["--seconds", "0"], "use a number above 0"),
        (["--seconds", "nan"], "use a number above 0"),
        (["--seconds", "10800"], "one has at most 1800 s: make it in parts"),
        (["{files}/none.mp4"], "does not exist"),
        (["{files}/empty.mp4"], "cannot be read"),
        (["{files}/text.mp4"], "cannot be read"),
        (["{files}/tone.wav"], "is a sound and holds no pictures; give a film, or go on from it with --known"),
        (["{files}/sheet.png"], "is a picture; give a film, or make a sound from words"),
        (["{files}"], "is a folder"),
        (["{files}/silent.mp4", "--seconds", "3"], "leave out --seconds"),
        (["{files}/silent.mp4", "-o", "{out}/out.txt"], "must end in"),
        (["{files}/silent.mp4", "-o", "{out}/out.webm"], "cannot hold h264 pictures"),
        (["{files}/silent.mp4", "-o", "{files}/silent.mp4", "--force"], "would be overwritten"),
        (["{files}/silent.mp4", "-o", "{files}/one.mp4"], "exists already"),
        (["--seconds", "1", "-o", "{out}/out.mp4"], "must end in .wav or .flac"),
        (["--seconds", "1", "--mix"], "give the film"),
        (["--seconds", "1", "--gap", "0", "1"], "name it with --known"),
        (["--seconds", "1", "--window", "2", "--context", "2"], "shorter than the window"),
        (["{files}/silent.mp4", "--window", "inf"], "shorter than the window"),
        (["{files}/silent.mp4", "--mix", "--gain", "nan"], "a gain of nan dB was given"),
        (["--seconds", "1", "--candidates", "0"], "use 1 to 64"),
        (["--seconds", "1", "--candidates", "100000000"], "use 1 to 64"),
        (["--seconds", "1", "--gain", "3"], "leave out --mix and --gain"),
        (["{files}/silent.mp4", "--mix", "-o", "{out}/out.wav"], "leave out --mix and --gain"),
        (["{files}/silent.mp4", "--original-gain", "3"], "only --mix keeps"),
        (["--known", "{files}/tone.wav"], "add --seconds or --gap"),
        (["--known", "{files}/tone.wav", "--seconds", "1"], "nothing is left to be made"),
        (["--known", "{files}/tone.wav", "--at", "later", "--seconds", "3"], "use seconds, or end"),
        (["--known", "{files}/tone.wav", "--at", "9", "--seconds", "3"], "move it"),
        (["--known", "{files}/tone.wav", "--gap", "3", "4"], "lies outside of the known sound"),
        (["--known", "{files}/tone.wav", "--gap", "0.5", "0.5"], "must end after it begins"),
        (["--known", "{files}/silent.mp4", "--seconds", "3"], "has no sound track"),
    ],
)
def test_mistake_is_one_line_and_leaves_nothing(run, files, tmp_path, monkeypatch, capsys, arguments, line):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(*(argument.format(files=files, out=tmp_path / "here") for argument in arguments)) == 2
    shown = capsys.readouterr().err.splitlines()
    assert line in shown[-1]
    assert all(row.startswith("moviegen: ") for row in shown)
    assert list((tmp_path / "here").iterdir()) == []


def test_model_without_sound_is_refused(tmp_path, capsys):
    assert moviegen("sound", "--seconds", 1, "--model", tmp_path, "-o", tmp_path / "out.wav") == 2
    assert "has no weights for sound: it lacks audio and audio_codec" in capsys.readouterr().err


def test_default_name_lies_here_and_is_not_taken_twice(run, files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(files / "one.mp4") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["one_sound.mp4"]
    before = (tmp_path / "one_sound.mp4").read_bytes()
    assert run(files / "one.mp4", "--seed", 5) == 2
    assert "add --force" in capsys.readouterr().err
    assert (tmp_path / "one_sound.mp4").read_bytes() == before
    assert run(files / "one.mp4", "--seed", 5, "--force") == 0
    assert (tmp_path / "one_sound.mp4").read_bytes() != before


def test_interrupt_leaves_no_file(run, files, tmp_path, monkeypatch, capsys):
    from moviegen_core.pipelines import soundtrack

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundtrack, "finish_sound", stop)
    assert run(files / "silent.mp4", "-o", tmp_path / "out.mp4") == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_tags_of_the_film_stay_and_the_sound_says_how_it_was_made(run, files, tmp_path):
    source = tmp_path / "film.mp4"
    write_movie(torch.zeros(3, 12, 32, 32), source, 24, metadata={"moviegen": {"prompt": "a ball"}})
    assert run(source, "-o", tmp_path / "out.mp4", "--prompt", "rain") == 0
    tags = read_movie(tmp_path / "out.mp4").metadata
    assert tags["moviegen"] == {"prompt": "a ball"}
    assert tags["moviegen_sound"]["sound_prompt"] == "rain"
