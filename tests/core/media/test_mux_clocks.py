"""Films that change their container get the time stamps that the old one rounded, and end with their pictures."""

from fractions import Fraction

import av
import pytest
import torch
from films import noisy_frames, packets_of, tone, write_stamps

from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.mux import copy_movie, set_audio
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import exact_fps, timeline


def track_of(path):
    """The sound's packets: content, begin and duration in seconds."""
    with av.open(str(path)) as container:
        return [
            (bytes(one), one.pts * one.time_base, one.duration * one.time_base)
            for one in container.demux(audio=0)
            if one.size
        ]


def file_seconds(path):
    with av.open(str(path)) as container:
        return Fraction(container.duration, 1_000_000)


def write_sounding(path, codec, sound_codec=None, seconds=0.0, frames=48, start=0):
    """A film at 24 frames a second from the frame `start` of its clock on, perhaps with a tone of its own length."""
    with av.open(str(path), mode="w") as container:
        pictures = container.add_stream(codec, rate=24)
        pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
        track = None if sound_codec is None else container.add_stream(sound_codec, rate=48000, layout="mono")
        for number, picture in enumerate((noisy_frames(frames) * 127 + 128).byte().permute(1, 2, 3, 0)):
            frame = av.VideoFrame.from_ndarray(picture.contiguous().numpy(), format="rgb24")
            frame.pts, frame.time_base = start + number, Fraction(1, 24)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if track is not None:
            frame = av.AudioFrame.from_ndarray(tone(seconds).numpy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(track.encode(frame))
            container.mux(track.encode(None))


@pytest.mark.parametrize("fps", [12.5, 23.976, 24, 29.97, 60])
def test_matroska_copied_into_mp4_is_what_was_written_as_mp4(tmp_path, fps):
    frames = 49
    sound = tone(float(frames / exact_fps(fps)), 300)
    for ending in ("mkv", "mp4"):
        write_movie(noisy_frames(frames), tmp_path / f"film.{ending}", fps, waveform=sound)
    copy_movie(tmp_path / "film.mkv", tmp_path / "copy.mp4")
    assert packets_of(tmp_path / "copy.mp4") == packets_of(tmp_path / "film.mp4")
    assert track_of(tmp_path / "copy.mp4") == track_of(tmp_path / "film.mp4")
    assert read_movie(tmp_path / "copy.mp4").fps == exact_fps(fps)
    assert file_seconds(tmp_path / "copy.mp4") == file_seconds(tmp_path / "film.mp4")


def test_new_sound_on_matroska_pictures_makes_the_mp4_that_mp4_pictures_make(tmp_path):
    for ending in ("mkv", "mp4"):
        write_movie(noisy_frames(48), tmp_path / f"film.{ending}", 24)
        set_audio(tmp_path / f"film.{ending}", tone(3), tmp_path / f"{ending}.mp4")
    assert packets_of(tmp_path / "mkv.mp4") == packets_of(tmp_path / "mp4.mp4")
    assert track_of(tmp_path / "mkv.mp4") == track_of(tmp_path / "mp4.mp4")
    assert file_seconds(tmp_path / "mkv.mp4") == 2


def test_opus_that_matroska_holds_ends_with_the_pictures_of_an_mp4(tmp_path):
    write_sounding(tmp_path / "film.webm", "libvpx-vp9", "libopus", 2.0)
    copy_movie(tmp_path / "film.webm", tmp_path / "copy.mp4")
    assert file_seconds(tmp_path / "copy.mp4") == 2
    heard, given = read_sound(tmp_path / "copy.mp4")[0], read_sound(tmp_path / "film.webm")[0]
    assert torch.equal(heard, given[:, :96000])


@pytest.mark.parametrize(("seconds", "packets"), [(1.0, 47), (3.0, 141)])
def test_sound_that_does_not_end_with_the_pictures_is_copied_whole(tmp_path, seconds, packets):
    write_sounding(tmp_path / "film.mkv", "libx264", "aac", seconds)
    copy_movie(tmp_path / "film.mkv", tmp_path / "copy.mp4")
    assert timeline(tmp_path / "copy.mp4").seconds == 2
    assert read_sound(tmp_path / "copy.mp4")[0].shape[1] == packets * 1024


def test_varying_frame_rate_keeps_its_time_stamps_in_another_container(tmp_path):
    write_stamps(tmp_path / "film.mkv", [0, 40, 80, 120, 500, 520, 540, 1300, 1340, 2000])
    set_audio(tmp_path / "film.mkv", tone(4), tmp_path / "new.mp4")
    copy_movie(tmp_path / "film.mkv", tmp_path / "copy.mp4")
    given = sorted(one.shown for one in packets_of(tmp_path / "film.mkv").packets)
    for name in ("new.mp4", "copy.mp4"):
        assert sorted(one.shown for one in packets_of(tmp_path / name).packets) == given


def test_film_whose_clock_starts_late_keeps_its_start_in_another_container(tmp_path):
    write_sounding(tmp_path / "film.mkv", "libx264", start=120)
    set_audio(tmp_path / "film.mkv", tone(3), tmp_path / "new.mp4")
    film, shown = timeline(tmp_path / "new.mp4"), packets_of(tmp_path / "new.mp4").packets
    assert (film.fps, film.seconds, film.start_seconds) == (24, 2, 5)
    assert sorted(one.shown for one in shown) == [5 + Fraction(index, 24) for index in range(48)]


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
@pytest.mark.parametrize("mode", ["replace", "remove"])
def test_webm_says_how_long_its_pictures_are_shown(tmp_path, codec, mode):
    write_sounding(tmp_path / "film.webm", codec, frames=16)
    set_audio(tmp_path / "film.webm", tone(1), tmp_path / "new.webm", mode=mode)
    packets = packets_of(tmp_path / "new.webm").packets
    assert len(packets) == 16
    assert all(one.lasts for one in packets)


@pytest.mark.parametrize("mode", ["replace", "remove"])
def test_webm_that_comfyui_saves_as_mp4_keeps_its_pictures_and_their_rate(tmp_path, mode):
    write_sounding(tmp_path / "film.webm", "libvpx-vp9", frames=16)
    set_audio(tmp_path / "film.webm", tone(1), tmp_path / "new.webm", mode=mode)
    with av.open(str(tmp_path / "new.webm")) as given, av.open(str(tmp_path / "copy.mp4"), mode="w") as copy:
        targets = {stream.index: copy.add_stream_from_template(stream, opaque=True) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = targets[packet.stream.index]
                copy.mux(packet)
    movie = read_movie(tmp_path / "copy.mp4")
    assert movie.num_frames == movie.pixels().shape[1] == 16
    assert movie.duration_seconds == pytest.approx(16 / 24, abs=0.001)  # Matroska's ticks are milliseconds
