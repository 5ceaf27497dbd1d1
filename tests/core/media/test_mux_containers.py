"""Sound tracks onto films of every container: the pictures' packets stay bit for bit, lengths and times hold."""

from fractions import Fraction

import av
import pytest
import torch
from films import noisy_frames, packets_of, tone, write_film, write_stamps

from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.mux import TS_PICTURES, container_ending, set_audio
from moviegen_core.media.pictures import timed_windows
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import exact_fps, timeline

RATES = [12, 16, 23.976, 24, 25, 29.97, 30, 60]
AAC_FRAME = 1024  # samples


def film_seconds(path):
    """The file's own duration in seconds."""
    with av.open(str(path)) as container:
        return container.duration / 1_000_000


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
    assert packets_of(tmp_path / f"new.{ending}") == packets_of(tmp_path / f"film.{ending}")
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
    before, after = packets_of(tmp_path / f"film.{ending}").packets, packets_of(result).packets
    assert [one.content for one in after] == [one.content for one in before]
    assert done.film.num_frames == 12
    assert read_movie(result).sample_rate == 48000


@pytest.mark.parametrize("codec", TS_PICTURES)
def test_transport_stream_holds_the_pictures_that_it_accepts(tmp_path, codec):
    write_film(tmp_path / "film.mkv", {"h264": "libx264", "hevc": "libx265"}.get(codec, codec))
    set_audio(tmp_path / "film.mkv", tone(1.0), tmp_path / "new.ts")
    given, made = read_movie(tmp_path / "film.mkv").pixels(), read_movie(tmp_path / "new.ts").pixels()
    assert torch.equal(made, given)


def test_pictures_that_a_container_lists_by_their_coder_are_kept(tmp_path):
    write_film(tmp_path / "film.avi", "msmpeg4")
    assert packets_of(tmp_path / "film.avi").packets
    set_audio(tmp_path / "film.avi", tone(1), tmp_path / "new.mkv")
    assert read_movie(tmp_path / "new.mkv").pixels().shape[1] == 12


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
    assert packets_of(tmp_path / "new.mp4") == packets_of(tmp_path / "film.mp4")


def test_film_of_one_frame_gets_a_sound_of_one_frame(tmp_path):
    write_movie(noisy_frames(1), tmp_path / "film.mp4", 24)
    assert set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "new.mp4").samples == 2000
    assert abs(film_seconds(tmp_path / "new.mp4") - 1 / 24) <= AAC_FRAME / 48000


def test_shorter_sound_is_followed_by_silence(tmp_path):
    write_movie(noisy_frames(48), tmp_path / "film.mp4", 24, preset="ultrafast")
    done = set_audio(tmp_path / "film.mp4", tone(0.5), tmp_path / "new.mp4")
    heard, _ = read_sound(tmp_path / "new.mp4")
    assert abs(heard.shape[1] - 96000) <= AAC_FRAME
    assert done.samples == 96000
    assert float(heard[:, 30000:].abs().max()) < 1e-3


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_varying_frame_rate_is_measured_by_the_time_stamps(tmp_path, ending):
    stamps = [0, 40, 80, 120, 500, 520, 540, 1300, 1340, 2000]
    write_stamps(tmp_path / f"film.{ending}", stamps)
    film = timeline(tmp_path / f"film.{ending}")
    assert film.fps is None
    assert film.num_frames == len(stamps)
    assert 2.0 < float(film.seconds) <= 2.25
    done = set_audio(tmp_path / f"film.{ending}", tone(4), tmp_path / f"new.{ending}")
    assert packets_of(done.path) == packets_of(tmp_path / f"film.{ending}")
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
    assert packets_of(done.path) == packets_of(tmp_path / "cut.mp4")
    heard, rate = read_sound(done.path)
    assert (heard.shape[1], done.samples, rate) == (72000, 72000, 48000)
    assert int((heard[0].abs() > 0.1).nonzero()[0]) == pytest.approx(24000, abs=100)


def test_sound_of_another_film_begins_with_its_pictures(tmp_path):
    write_movie(noisy_frames(24), tmp_path / "film.mp4", 24, preset="ultrafast")
    write_film(tmp_path / "silent.mkv", "libx264")
    set_audio(tmp_path / "silent.mkv", tone(1), tmp_path / "late.ts")  # its clock starts at 1.4 s
    heard, _ = read_sound(set_audio(tmp_path / "film.mp4", tmp_path / "late.ts", tmp_path / "new.mp4").path)
    assert int((heard[0].abs() > 0.1).nonzero()[0]) < 200
