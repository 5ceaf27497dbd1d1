"""Sound tracks of films: what enters them, at which gain, rate and number of channels, and in how much memory."""

import subprocess
import sys

import av
import pytest
import torch
from films import noisy_frames, tone

from moviegen_core.media.movie import write_movie
from moviegen_core.media.mux import set_audio
from moviegen_core.media.sound import BLOCK, read_sound, sound_blocks, write_sound
from moviegen_core.media.timeline import timeline


def test_mixed_sound_holds_both_at_their_gains(tmp_path):
    write_movie(noisy_frames(48), tmp_path / "film.mp4", 24, waveform=tone(2, 500, channels=2), preset="ultrafast")
    set_audio(
        tmp_path / "film.mp4", tone(2, 2000), tmp_path / "new.mp4", mode="mix", gain_db=-6.02, original_gain_db=-12.04
    )
    heard, _ = read_sound(tmp_path / "new.mp4")
    spectrum = torch.fft.rfft(heard[0, 24000:72000]).abs() / 24000
    assert float(spectrum[500]) == pytest.approx(0.075, abs=0.005)
    assert float(spectrum[2000]) == pytest.approx(0.15, abs=0.005)


def test_mixture_that_would_clip_is_lowered_and_told(tmp_path, caplog):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, waveform=tone(1, 500, level=0.9), preset="ultrafast")
    set_audio(tmp_path / "film.mp4", tone(1, 700, level=0.9), tmp_path / "new.mp4", mode="mix")
    heard, _ = read_sound(tmp_path / "new.mp4")
    # The first AAC frames of a tone that begins at once overshoot by themselves.
    assert 0.75 < float(heard[:, 2000:].abs().max()) <= 1.0
    assert "would have clipped" in caplog.text


def test_loud_sound_with_a_gain_that_tames_it_is_not_clipped_before(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    set_audio(tmp_path / "film.mp4", tone(1, 500, level=2.0), tmp_path / "new.mp4", gain_db=-12.04)
    spectrum = torch.fft.rfft(read_sound(tmp_path / "new.mp4")[0][0, 8000:40000]).abs() / 16000
    assert float(spectrum[round(500 * 32000 / 48000)]) > 0.2
    assert float(spectrum[1000]) < 0.002 * float(spectrum.max())  # the third harmonic of a clipped tone


def test_loud_sound_is_lowered_and_told(tmp_path, caplog):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    set_audio(tmp_path / "film.mp4", tone(1, 500, level=2.0), tmp_path / "new.mp4")
    assert 0.9 < float(read_sound(tmp_path / "new.mp4")[0][:, 8000:].abs().max()) <= 1.0
    assert "would have clipped" in caplog.text


def test_silent_film_mixes_with_silence(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.mp4", mode="mix")
    assert read_sound(tmp_path / "new.mp4")[0].abs().max() > 0.2


def test_mono_file_enters_a_stereo_mixture_at_its_level(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, waveform=tone(1, channels=2), preset="ultrafast")
    write_sound(tone(1, 700), 48000, tmp_path / "tone.wav")
    done = set_audio(
        tmp_path / "film.mp4", tmp_path / "tone.wav", tmp_path / "new.mp4", mode="mix", original_gain_db=-90
    )
    heard, _ = read_sound(done.path)
    assert heard[:, 2000:46000].abs().amax(1).tolist() == pytest.approx([0.3, 0.3], abs=0.02)


def test_coherent_surround_file_keeps_its_peak(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    with av.open(str(tmp_path / "5.1.m4a"), mode="w") as container:
        stream = container.add_stream("aac", rate=48000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(tone(1, level=0.6, channels=6).numpy(), format="fltp", layout="5.1")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard, _ = read_sound(set_audio(tmp_path / "film.mp4", tmp_path / "5.1.m4a", tmp_path / "new.mp4").path)
    assert float(heard[:, 2000:46000].abs().max()) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (96000, 2), (48000, 8), (44056, 1)])
def test_unusual_rates_and_channels_are_fitted(tmp_path, rate, channels):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    done = set_audio(
        tmp_path / "film.mp4", tone(2, 400, rate, channels=channels), tmp_path / "new.mp4", sample_rate=rate
    )
    assert done.sample_rate == (44100 if rate == 44100 else 48000)
    assert done.samples == done.sample_rate
    heard, _ = read_sound(done.path)
    assert heard.shape[0] == min(channels, 2)
    spectrum = torch.fft.rfft(heard[0, : done.sample_rate]).abs()
    assert int(spectrum.argmax()) == 400


def test_sound_enters_from_a_file_of_any_kind(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    write_sound(tone(0.7, 700, 44100, channels=2), 44100, tmp_path / "tone.flac")
    write_movie(noisy_frames(24), tmp_path / "other.mkv", 24, waveform=tone(1, 700), preset="ultrafast")
    for source in ("tone.flac", "other.mkv"):
        done = set_audio(tmp_path / "film.mp4", tmp_path / source, tmp_path / "new.mp4")
        spectrum = torch.fft.rfft(read_sound(done.path)[0][0, : done.sample_rate]).abs()
        assert int(spectrum.argmax()) == pytest.approx(700, abs=2)


def test_invalid_samples_become_silence(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    sound = tone(1, level=8.0)
    sound[0, :100] = float("nan")
    sound[0, 200] = float("inf")
    set_audio(tmp_path / "film.mp4", sound, tmp_path / "new.mp4")
    assert read_sound(tmp_path / "new.mp4")[0].isfinite().all()


@pytest.mark.parametrize(("given", "wanted"), [(48000, 48000), (44100, 48000), (8000, 44100)])
def test_streamed_sound_is_the_whole_sound(given, wanted):
    sound = tone(2.3, 300, given, channels=2)
    blocks = list(sound_blocks(sound, sample_rate=wanted, channels=2, samples=2 * wanted, given_rate=given))
    assert max(block.shape[1] for block in blocks) == BLOCK
    streamed = torch.cat(blocks, dim=1)
    assert streamed.shape == (2, 2 * wanted)
    assert float((streamed - tone(2, 300, wanted, channels=2))[:, 500:].abs().max()) < 2e-3


def write_silence(path, seconds):
    """A stereo .wav at 48 kHz that is mostly a hole in the file."""
    size = seconds * 48000 * 4
    header = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += (1).to_bytes(2, "little") + (2).to_bytes(2, "little") + (48000).to_bytes(4, "little")
    header += (192000).to_bytes(4, "little") + (4).to_bytes(2, "little") + (16).to_bytes(2, "little")
    header += b"data" + size.to_bytes(4, "little")
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(44 + size)


def test_memory_does_not_grow_with_the_length_of_sound_and_film(tmp_path):
    """Four minutes at 48 kHz stereo are 92 MB as float samples."""
    script = (
        "import sys, torch, av\n"
        "from moviegen_core.memory import growth\n"
        "from moviegen_core.media import mux\n"
        "from moviegen_core.media.timeline import timeline\n"
        "film, sound, out = sys.argv[1:]\n"
        "mux.set_audio(film, sound, out.replace('new', 'warm'), mode='replace')\n"
        "with growth() as grown:\n"
        "    mux.set_audio(film.replace('short', 'long'), sound.replace('short', 'long'), out)\n"
        "    print(grown() // 2**20)\n"
    )
    for name, seconds in (("short", 10), ("long", 240)):
        with av.open(str(tmp_path / f"{name}.mp4"), mode="w") as container:
            stream = container.add_stream("mpeg4", rate=1)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for _ in range(seconds):
                container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(stream.encode(None))
        write_silence(tmp_path / f"{name}.wav", seconds)
    paths = [str(tmp_path / name) for name in ("short.mp4", "short.wav", "new.mp4")]
    result = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 45  # MB
    assert timeline(tmp_path / "new.mp4").seconds == 240
