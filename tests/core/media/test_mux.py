"""Sound tracks onto real films: the pictures' packets stay bit for bit, the lengths hold."""

import subprocess
import sys
from fractions import Fraction

import av
import pytest
import torch

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.mux import TS_ENDINGS, TS_PICTURES, check_container, container_ending, set_audio
from moviegen_core.media.pictures import timed_windows
from moviegen_core.media.sound import BLOCK, read_sound, sound_blocks, write_sound
from moviegen_core.media.timeline import exact_fps, timeline

RATES = [12, 16, 23.976, 24, 25, 29.97, 30, 60]
AAC_FRAME = 1024  # samples


def tone(seconds, hertz=440.0, rate=48000, level=0.3, channels=1):
    """A sine [C, S]."""
    wave = level * (2 * torch.pi * hertz * torch.arange(round(seconds * rate)) / rate).sin()
    return wave.expand(channels, -1).contiguous()


def noisy_frames(count, seed=0):
    """Frames [3, T, 32, 48] that do not compress to nothing."""
    return torch.rand(3, count, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def picture_packets(path):
    """Everything a player gets of the pictures: bytes, times, key frames and the decoder's header."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        clock = stream.time_base
        listed = [(bytes(one), one.pts * clock, one.duration * clock, one.is_keyframe) for one in packets]
        return listed, stream.codec_context.extradata


def film_seconds(path):
    """The file's own duration in seconds."""
    with av.open(str(path)) as container:
        return container.duration / 1_000_000


def write_stamps(path, stamps, codec="libx264", last=None):
    """A film whose pictures are shown at `stamps` (milliseconds)."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps):
            picture = (torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(index)) * 255).byte()
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            if index == len(stamps) - 1 and last:
                frame.duration = last
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_film(path, codec, b_frames=0):
    """A silent film of twelve pictures."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"  # x265 spoils the memory below 64
        if not codec.startswith("libvpx"):
            stream.codec_context.max_b_frames = b_frames
        for frame in (noisy_frames(12).repeat(1, 1, 2, 2) * 127 + 128).byte().permute(1, 2, 3, 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.contiguous().numpy(), format="rgb24")))
        container.mux(stream.encode(None))


def trimmed(source, path, seconds):
    """Copies a film without its first `seconds`, as phones do: the packets stay, an edit list leaves them out."""
    with av.open(str(source)) as given, av.open(str(path), mode="w") as copy:
        targets = [copy.add_stream_from_template(stream, opaque=True) for stream in given.streams]
        for packet in given.demux():
            if packet.size:
                packet.pts, packet.dts = (round(one - seconds / packet.time_base) for one in (packet.pts, packet.dts))
                packet.stream = targets[packet.stream.index]
                copy.mux(packet)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_pictures_are_identical_and_the_sound_is_as_long_as_them(tmp_path, fps, ending):
    frames = 19
    write_movie(noisy_frames(frames), tmp_path / f"film.{ending}", fps, waveform=tone(3, 300), preset="ultrafast")
    done = set_audio(tmp_path / f"film.{ending}", tone(5, 880, channels=2), tmp_path / f"new.{ending}")
    assert picture_packets(tmp_path / f"new.{ending}") == picture_packets(tmp_path / f"film.{ending}")
    seconds = frames / exact_fps(fps)
    assert done.film.seconds == seconds
    assert done.samples == round(seconds * 48000)
    clock = 0.001 if ending == "mkv" else 0.0  # Matroska's ticks are milliseconds
    assert abs(film_seconds(done.path) - float(seconds)) <= AAC_FRAME / 48000 + clock
    heard, rate = read_sound(done.path)
    assert rate == 48000
    assert abs(heard.shape[1] - done.samples) <= (AAC_FRAME if ending == "mkv" else 0)
    middle = heard[:, 2000 : done.samples - 2000]
    wanted = tone(5, 880, channels=2)[:, 2000 : done.samples - 2000]
    assert 10 * float((wanted.square().sum() / (middle - wanted).square().sum()).log10()) > 20  # in time to the sample


@pytest.mark.parametrize(
    ("codec", "ending"), [("libx264", "mov"), ("libvpx", "webm"), ("mpeg4", "avi"), ("libx264", "ts")]
)
def test_other_containers_keep_their_packets_too(tmp_path, codec, ending):
    write_film(tmp_path / f"film.{ending}", codec)
    result = tmp_path / f"new{container_ending(tmp_path / f'film.{ending}')}"
    done = set_audio(tmp_path / f"film.{ending}", tone(1.0), result)
    before, after = picture_packets(tmp_path / f"film.{ending}")[0], picture_packets(result)[0]
    assert [one[0] for one in after] == [one[0] for one in before]
    assert done.film.num_frames == 12
    assert read_movie(result).sample_rate == 48000


@pytest.mark.parametrize("codec", TS_PICTURES)
def test_transport_stream_holds_the_pictures_that_it_accepts(tmp_path, codec):
    write_film(tmp_path / "film.mkv", {"h264": "libx264", "hevc": "libx265"}.get(codec, codec))
    set_audio(tmp_path / "film.mkv", tone(1.0), tmp_path / "new.ts")
    given, made = read_movie(tmp_path / "film.mkv").pixels(), read_movie(tmp_path / "new.ts").pixels()
    assert torch.equal(made, given)


@pytest.mark.parametrize("ending", TS_ENDINGS)
def test_pictures_that_a_transport_stream_cannot_hold_are_refused(tmp_path, ending):
    write_film(tmp_path / "film.webm", "libvpx-vp9")
    with pytest.raises(MediaError, match=r"cannot hold vp9 pictures; choose a name that ends in \.mkv"):
        set_audio(tmp_path / "film.webm", tone(1.0), tmp_path / f"new{ending}")
    assert [file.name for file in tmp_path.iterdir()] == ["film.webm"]


def test_tags_are_kept_and_added(tmp_path):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24, metadata={"workflow": {"nodes": []}})
    set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.mp4", metadata={"prompt": {"1": 2}})
    assert read_movie(tmp_path / "new.mp4").metadata.items() >= {"workflow": {"nodes": []}, "prompt": {"1": 2}}.items()


def test_turned_film_stays_turned(tmp_path):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24)
    content = bytearray((tmp_path / "film.mp4").read_bytes())
    # The matrix of the track header: a quarter turn (ISO 14496-12, 8.3.2).
    place = content.index(b"tkhd") + 4 + 4 + 20 + 16
    turned = [0, 0x10000, 0, -0x10000, 0, 0, 32 << 16, 0, 0x40000000]
    content[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    (tmp_path / "turned.mp4").write_bytes(content)
    assert (read_movie(tmp_path / "turned.mp4").height, read_movie(tmp_path / "turned.mp4").width) == (48, 32)
    set_audio(tmp_path / "turned.mp4", tone(1), tmp_path / "new.mp4")
    assert (read_movie(tmp_path / "new.mp4").height, read_movie(tmp_path / "new.mp4").width) == (48, 32)


def test_removed_sound_is_gone(tmp_path):
    write_movie(noisy_frames(6), tmp_path / "film.mp4", 24, waveform=tone(1))
    done = set_audio(tmp_path / "film.mp4", None, tmp_path / "new.mp4", mode="remove")
    assert done.samples == 0
    assert read_movie(tmp_path / "new.mp4").sample_rate is None
    assert picture_packets(tmp_path / "new.mp4") == picture_packets(tmp_path / "film.mp4")


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


def test_pictures_that_a_container_lists_by_their_coder_are_kept(tmp_path):
    write_film(tmp_path / "film.avi", "msmpeg4")
    assert picture_packets(tmp_path / "film.avi")[0]
    set_audio(tmp_path / "film.avi", tone(1), tmp_path / "new.mkv")
    assert read_movie(tmp_path / "new.mkv").pixels().shape[1] == 12


@pytest.mark.parametrize("ending", ["xyz", "avi"])
def test_ending_that_no_film_is_written_with_is_refused(tmp_path, ending):
    write_movie(noisy_frames(3), tmp_path / "film.mp4", 24)
    with pytest.raises(MediaError, match=rf"new\.{ending}: films are written as \.mp4, .*; change the file's ending"):
        set_audio(tmp_path / "film.mp4", tone(1), tmp_path / f"new.{ending}")
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_silent_film_mixes_with_silence(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.mp4", mode="mix")
    assert read_sound(tmp_path / "new.mp4")[0].abs().max() > 0.2


def test_shorter_sound_is_followed_by_silence(tmp_path):
    write_movie(noisy_frames(48), tmp_path / "film.mp4", 24, preset="ultrafast")
    done = set_audio(tmp_path / "film.mp4", tone(0.5), tmp_path / "new.mp4")
    heard, _ = read_sound(tmp_path / "new.mp4")
    assert abs(heard.shape[1] - 96000) <= AAC_FRAME
    assert done.samples == 96000
    assert float(heard[:, 30000:].abs().max()) < 1e-3


def test_film_of_one_frame_gets_a_sound_of_one_frame(tmp_path):
    write_movie(noisy_frames(1), tmp_path / "film.mp4", 24)
    assert set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.mp4").samples == 2000
    assert abs(film_seconds(tmp_path / "new.mp4") - 1 / 24) <= AAC_FRAME / 48000


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_varying_frame_rate_is_measured_by_the_time_stamps(tmp_path, ending):
    stamps = [0, 40, 80, 120, 500, 520, 540, 1300, 1340, 2000]
    write_stamps(tmp_path / f"film.{ending}", stamps)
    film = timeline(tmp_path / f"film.{ending}")
    assert film.fps is None
    assert film.num_frames == len(stamps)
    assert 2.0 < float(film.seconds) <= 2.25
    done = set_audio(tmp_path / f"film.{ending}", tone(4), tmp_path / f"new.{ending}")
    assert picture_packets(done.path)[0] == picture_packets(tmp_path / f"film.{ending}")[0]
    assert abs(film_seconds(done.path) - float(film.seconds)) <= AAC_FRAME / 48000 + 0.001


def test_film_whose_clock_starts_late_has_its_sound_on_the_first_picture(tmp_path):
    write_stamps(tmp_path / "film.mkv", [5000 + 40 * index for index in range(25)])
    film = timeline(tmp_path / "film.mkv")
    assert (film.fps, film.seconds) == (25, 1)
    done = set_audio(tmp_path / "film.mkv", tone(3), tmp_path / "new.mkv")
    with av.open(str(done.path)) as container:
        first = next(container.decode(audio=0))
        assert float(first.pts * first.time_base) == pytest.approx(float(film.start_seconds), abs=0.03)


def test_trimmed_film_has_its_sound_on_the_first_picture_that_is_shown(tmp_path):
    write_movie(noisy_frames(48), tmp_path / "film.mp4", 24, waveform=tone(2, 500), preset="ultrafast")
    trimmed(tmp_path / "film.mp4", tmp_path / "cut.mp4", Fraction(1, 2))
    film = timeline(tmp_path / "cut.mp4")
    assert (film.start_seconds, film.num_frames, film.seconds, film.fps) == (0, 36, Fraction(3, 2), 24)
    assert [moment for _, moments in timed_windows(tmp_path / "cut.mp4") for moment in moments][-1] == 35 / 24
    sound = torch.cat([torch.zeros(1, 24000), tone(1, 2000)], dim=1)
    done = set_audio(tmp_path / "cut.mp4", sound, tmp_path / "new.mp4")
    assert picture_packets(done.path) == picture_packets(tmp_path / "cut.mp4")
    heard, rate = read_sound(done.path)
    assert (heard.shape[1], done.samples, rate) == (72000, 72000, 48000)
    assert int((heard[0].abs() > 0.1).nonzero()[0]) == pytest.approx(24000, abs=100)


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


def test_mono_file_enters_a_stereo_mixture_at_its_level(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, waveform=tone(1, channels=2), preset="ultrafast")
    write_sound(tone(1, 700), 48000, tmp_path / "tone.wav")
    done = set_audio(
        tmp_path / "film.mp4", tmp_path / "tone.wav", tmp_path / "new.mp4", mode="mix", original_gain_db=-90
    )
    heard, _ = read_sound(done.path)
    assert heard[:, 2000:46000].abs().amax(1).tolist() == pytest.approx([0.3, 0.3], abs=0.02)


def test_sound_of_another_film_begins_with_its_pictures(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    write_film(tmp_path / "silent.mkv", "libx264")
    set_audio(tmp_path / "silent.mkv", tone(1), tmp_path / "late.ts")  # its clock starts at 1.4 s
    heard, _ = read_sound(set_audio(tmp_path / "film.mp4", tmp_path / "late.ts", tmp_path / "new.mp4").path)
    assert int((heard[0].abs() > 0.1).nonzero()[0]) < 200


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


@pytest.mark.parametrize(
    ("sound", "options", "error", "words"),
    [
        (None, {}, MediaError, "choose the mode remove"),
        (torch.zeros(1, 0), {}, MediaError, "channels, samples"),
        (torch.zeros(2, 1, 8), {}, MediaError, "channels, samples"),
        (torch.ones(1, 8), {"mode": "swap"}, ConfigError, "replace, mix, remove"),
        (torch.ones(1, 8), {"sample_rate": 0}, MediaError, "positive"),
    ],
)
def test_unusable_input_is_refused_in_one_line_and_leaves_nothing(tmp_path, sound, options, error, words):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24)
    with pytest.raises(error, match=words) as caught:
        set_audio(tmp_path / "film.mp4", sound, tmp_path / "new.mp4", **options)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_files_that_are_no_film_or_no_sound_are_refused(tmp_path):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24)
    write_sound(tone(0.2), 48000, tmp_path / "tone.wav")
    (tmp_path / "damaged.mp4").write_bytes((tmp_path / "film.mp4").read_bytes()[:900])
    with pytest.raises(MediaError, match="holds no pictures"):
        set_audio(tmp_path / "tone.wav", tone(1), tmp_path / "new.mp4")
    with pytest.raises(MediaError, match="no sound track"):
        set_audio(tmp_path / "film.mp4", tmp_path / "film.mp4", tmp_path / "new.mp4")
    with pytest.raises(MediaError, match="cut off"):
        set_audio(tmp_path / "damaged.mp4", tone(1), tmp_path / "new.mp4")
    with pytest.raises(MediaError, match="does not exist"):
        set_audio(tmp_path / "film.mp4", tmp_path / "none.wav", tmp_path / "new.mp4")
    with pytest.raises(MediaError, match="ends in"):
        set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.webm")
    assert not (tmp_path / "new.mp4").exists()


def test_film_is_never_written_over_itself(tmp_path):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24)
    before = (tmp_path / "film.mp4").read_bytes()
    with pytest.raises(MediaError, match="choose another name"):
        set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "." / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == before


@pytest.mark.parametrize(("given", "wanted"), [(48000, 48000), (44100, 48000), (8000, 44100)])
def test_streamed_sound_is_the_whole_sound(given, wanted):
    sound = tone(2.3, 300, given, channels=2)
    blocks = list(sound_blocks(sound, sample_rate=wanted, channels=2, samples=2 * wanted, given_rate=given))
    assert max(block.shape[1] for block in blocks) == BLOCK
    streamed = torch.cat(blocks, dim=1)
    assert streamed.shape == (2, 2 * wanted)
    assert float((streamed - tone(2, 300, wanted, channels=2))[:, 500:].abs().max()) < 2e-3


def test_memory_does_not_grow_with_the_length_of_sound_and_film(tmp_path):
    """Four minutes at 48 kHz stereo are 92 MB as float samples."""
    script = (
        "import resource, sys, torch, av\n"
        "from moviegen_core.media import mux\n"
        "from moviegen_core.media.timeline import timeline\n"
        "film, sound, out = sys.argv[1:]\n"
        "mux.set_audio(film, sound, out.replace('new', 'warm'), mode='replace')\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "mux.set_audio(film.replace('short', 'long'), sound.replace('short', 'long'), out)\n"
        "print(peak() - before)\n"
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


@pytest.mark.parametrize(("ending", "codec"), [(".h264", "libx264"), (".y4m", "rawvideo")])
def test_film_that_cannot_be_copied_is_told_before_the_work(tmp_path, ending, codec):
    film = tmp_path / f"film{ending}"
    write_film(film, codec, b_frames=2)
    with pytest.raises(
        MediaError, match=r"pictures of .*film.* cannot be copied as they are.*; convert it to an \.mp4"
    ):
        check_container(film, tmp_path / "out.mkv")


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


def test_copying_is_followed_to_its_end_and_can_be_cancelled(tmp_path):
    class Cancelled(Exception):
        pass

    film, target = tmp_path / "film.mp4", tmp_path / "out.mp4"
    write_movie(noisy_frames(120), film, 24)
    told = []
    set_audio(film, tone(5.0), target, on_pictures=lambda *done: told.append(done))
    assert told == [(50, 120), (100, 120), (120, 120)]
    before = target.read_bytes()

    def cancel(done, _):
        if done == 100:
            raise Cancelled

    with pytest.raises(Cancelled):
        set_audio(film, tone(5.0), target, on_pictures=cancel)
    assert target.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["film.mp4", "out.mp4"]
