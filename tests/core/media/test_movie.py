"""Films: what is written comes back, and nothing is left when writing fails."""

import errno
import logging
from fractions import Fraction
from types import ModuleType

import av
import numpy as np
import pytest
import torch
from films import tone

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.mux import copy_movie
from moviegen_core.media.timeline import exact_fps

resource: ModuleType | None
try:
    import resource
except ImportError:
    resource = None


@pytest.fixture
def clip():
    """A smooth clip [3, 20, 48, 64] in [-1, 1] with saturated colours that move."""
    frame = torch.arange(20.0).view(20, 1, 1)
    row = torch.linspace(-1, 1, 48).view(1, 48, 1)
    column = torch.linspace(-1, 1, 64).view(1, 1, 64)
    red = (row + column + frame * 0.05).sin()
    green = (2 * row - column - frame * 0.03).cos()
    blue = (row * column * 2 + frame * 0.02).sin()
    return torch.stack([red, green, blue])


@pytest.mark.parametrize("ending", [".avi", ".mkv", ".mov"])
def test_film_with_a_title_in_another_code_is_read_and_copied(tmp_path, clip, ending):
    source = write_movie(clip, tmp_path / "film.mp4", 16, metadata={"title": "Cafe at noon"}).path
    film = copy_movie(source, tmp_path / f"film{ending}") if ending != ".avi" else in_avi(source)
    content = film.read_bytes()
    assert b"Cafe at noon" in content
    film.write_bytes(content.replace(b"Cafe at noon", b"Caf\xe9 at noon"))
    titles = {key.lower(): value for key, value in read_movie(film).metadata.items()}
    assert titles["title"] == "Caf\ufffd at noon"
    assert read_movie(copy_movie(film, tmp_path / "copy.mp4")).num_frames == 20


def test_colon_in_a_name_is_no_protocol(tmp_path, clip, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = write_movie(clip, "12:31.mp4", 16, waveform=torch.zeros(1, 48000)).path
    assert read_movie(source).waveform is not None
    assert copy_movie("12:31.mp4", "http:.mp4").read_bytes()[4:8] == b"ftyp"
    assert read_movie("http:.mp4").num_frames == 20


def test_pictures_in_an_unknown_code_are_told(tmp_path, clip):
    film = in_avi(write_movie(clip, tmp_path / "film.mp4", 16).path)
    film.write_bytes(film.read_bytes().replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(MediaError, match=r"film\.avi has pictures in a code that FFmpeg does not know; convert it"):
        read_movie(film)


def in_avi(source):
    """The pictures of a film as MPEG-4 in an AVI beside it, with their title."""
    target = source.with_suffix(".avi")
    with av.open(str(source)) as given, av.open(str(target), "w") as copy:
        copy.metadata["title"] = given.metadata.get("title", "")
        stream = copy.add_stream("mpeg4", rate=16)
        stream.width, stream.height = 64, 48
        for frame in given.decode(video=0):
            copy.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")))
        copy.mux(stream.encode(None))
    return target


def psnr(one, other):
    """Peak signal-to-noise ratio in dB of pixels in [-1, 1]."""
    return float(-10 * ((one - other) / 2).square().mean().log10())


def test_film_comes_back_in_its_colours_when_it_was_written_in_windows(tmp_path, clip):
    written = write_movie((clip[:, start : start + 6] for start in range(0, 20, 6)), tmp_path / "film.mp4", 16)
    movie = read_movie(written.path)
    assert (movie.fps, movie.num_frames, movie.height, movie.width) == (16, 20, 48, 64)
    pixels = movie.pixels()
    assert pixels.shape == clip.shape
    assert psnr(pixels, clip) > 36
    # A wrong colour matrix shifts whole channels; compression does not.
    assert (pixels - clip).mean(dim=(1, 2, 3)).abs().max() < 0.02


def test_reading_gives_windows_of_the_asked_size_and_the_rest(tmp_path, clip):
    write_movie(clip, tmp_path / "film.mp4", 16)
    movie = read_movie(tmp_path / "film.mp4")
    assert [window.shape[1] for window in movie.windows(8)] == [8, 8, 4]
    assert torch.equal(torch.cat(list(movie.windows(8)), dim=1), movie.pixels())


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (24, Fraction(24)),
        (23.976, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (16.0, Fraction(16)),
        (1 / 16384, Fraction(1, 16384)),  # two pictures that are hours apart
        (Fraction(24000, 1001), Fraction(24000, 1001)),
        (np.float32(23.976), Fraction(24000, 1001)),
        (np.int64(16), Fraction(16)),
        (torch.tensor(12.5), Fraction(25, 2)),
    ],
)
def test_frame_rates_are_exact(given, exact):
    assert exact_fps(given) == exact


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e6])
def test_impossible_frame_rates_are_refused(fps):
    with pytest.raises(MediaError, match="above 0"):
        exact_fps(fps)


def test_broadcast_rate_survives_the_file(tmp_path, clip):
    write_movie(clip, tmp_path / "film.mp4", 23.976)
    movie = read_movie(tmp_path / "film.mp4")
    assert movie.fps == Fraction(24000, 1001)
    assert movie.num_frames == 20


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "MKV"])
def test_workflow_and_prompt_survive_in_the_tags(tmp_path, clip, ending):
    workflow = {"nodes": [{"id": 1, "widgets_values": ["a “red” ball 🎾", 7]}]}
    write_movie(clip[:, :2], tmp_path / f"film.{ending}", 16, metadata={"workflow": workflow, "prompt": "plain text"})
    metadata = {key.lower(): value for key, value in read_movie(tmp_path / f"film.{ending}").metadata.items()}
    assert metadata["workflow"] == workflow
    assert metadata["prompt"] == "plain text"


def test_odd_sizes_are_padded_by_repeating_the_edge(tmp_path, clip, caplog):
    odd = clip[:, :3, :47, :63]
    with caplog.at_level(logging.INFO):
        written = write_movie(odd, tmp_path / "film.mp4", 16, crf=4)
    assert (written.height, written.width) == (48, 64)
    assert "padded the frames from 47 x 63 to 48 x 64" in caplog.text
    pixels = read_movie(written.path).pixels()
    assert psnr(pixels[:, :, :47, :63], odd) > 36
    assert psnr(pixels[:, :, 47, :63], odd[:, :, 46]) > 32


def test_one_frame_is_a_film_of_one_frame(tmp_path, clip):
    write_movie(clip[:, :1], tmp_path / "film.mp4", 16)
    assert read_movie(tmp_path / "film.mp4").pixels().shape[1] == 1


def test_sound_is_cut_to_the_film_and_comes_back_in_its_length(tmp_path, clip):
    sound = tone(2, level=0.5, channels=2)
    write_movie(clip, tmp_path / "film.mp4", 20, waveform=sound, sample_rate=48000)
    movie = read_movie(tmp_path / "film.mp4")
    assert movie.sample_rate == 48000
    assert movie.waveform.shape == (2, 48000)
    assert (movie.waveform[:, 4000:44000] - sound[:, 4000:44000]).abs().max() < 0.05


@pytest.mark.parametrize(("fps", "frames"), [(12, 7), (23.976, 13), (29.97, 31), (60, 1)])
def test_sound_ends_with_the_pictures_to_the_sample_at_any_rate(tmp_path, fps, frames):
    write_movie(torch.zeros(3, frames, 16, 16), tmp_path / "film.mp4", fps, waveform=torch.zeros(1, 96_000))
    assert read_movie(tmp_path / "film.mp4").waveform.shape[1] == round(frames / exact_fps(fps) * 48_000)


def test_sound_at_an_odd_rate_with_bad_samples_is_still_written(tmp_path, clip):
    waveform = torch.full((44000,), 0.1)
    waveform[5] = float("nan")
    write_movie(clip, tmp_path / "film.mp4", 20, waveform=waveform, sample_rate=44000)
    movie = read_movie(tmp_path / "film.mp4")
    assert movie.sample_rate == 48000
    assert torch.isfinite(movie.waveform).all()


def test_sound_lies_beside_its_pictures_however_the_film_is_given(tmp_path, clip):
    """Packets that follow each other in the file are less than 5 s apart, in a film of 20 s from one tensor."""
    film = clip.repeat(1, 16, 1, 1)
    write_movie(film, tmp_path / "film.mkv", 16, tone(20.0))
    with av.open(str(tmp_path / "film.mkv")) as container:
        seen = {"video": 0.0, "audio": 0.0}
        for packet in container.demux():
            if packet.pts is not None:
                seen[packet.stream.type] = float(packet.pts * packet.time_base)
                assert abs(seen["video"] - seen["audio"]) < 5.0


def test_silent_film_has_no_waveform(tmp_path, clip):
    write_movie(clip, tmp_path / "film.mp4", 20)
    assert read_movie(tmp_path / "film.mp4").waveform is None


@pytest.mark.parametrize("error", [RuntimeError("decoder"), KeyboardInterrupt()])
def test_nothing_is_left_when_the_windows_stop_half_way(tmp_path, clip, error):
    def windows():
        yield clip
        raise error

    with pytest.raises(type(error)):
        write_movie(windows(), tmp_path / "film.mp4", 16)
    assert list(tmp_path.iterdir()) == []


def test_earlier_film_is_kept_when_its_successor_fails(tmp_path, clip):
    path = write_movie(clip, tmp_path / "film.mp4", 16).path
    before = path.read_bytes()
    with pytest.raises(ShapeError, match="one size"):
        write_movie([clip, clip[..., :32]], path, 16)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, clip):
    def windows():
        yield clip
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MediaError, match="disk is full; free some space"):
        write_movie(windows(), tmp_path / "film.mp4", 16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(resource is None, reason="needs the file size limits of Unix")
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_write_that_the_system_refuses_is_told_and_leaves_nothing(tmp_path, clip, ending):
    # A size limit makes the encoder's own writes fail, as a full disk does, without filling one.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(MediaError, match="was not written"):
            write_movie(clip, tmp_path / f"film.{ending}", 16, crf=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("windows", "message"),
    [([], "no frames"), ([torch.zeros(4, 1, 16, 16)], r"needs \[3, frames"), ([torch.zeros(3, 1, 0, 16)], "a side")],
)
def test_windows_that_are_no_film_are_refused(tmp_path, windows, message):
    with pytest.raises((MediaError, ShapeError), match=message):
        write_movie(windows, tmp_path / "film.mp4", 16)
    assert list(tmp_path.iterdir()) == []


def test_unknown_ending_is_refused(tmp_path, clip):
    with pytest.raises(MediaError, match="change the file's ending"):
        write_movie(clip, tmp_path / "film.txt", 16)


@pytest.mark.parametrize("crf", [-5, 300, float("nan"), "low", None])
def test_crf_that_encoders_do_not_know_is_refused(tmp_path, clip, crf):
    with pytest.raises(MediaError, match=r"give a number from 0 \(the best picture\) to 51"):
        write_movie(clip, tmp_path / "film.mp4", 16, crf=crf)
    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_way_is_told(tmp_path, clip):
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="in the way"):
        write_movie(clip, tmp_path / "file" / "film.mp4", 16)


@pytest.mark.parametrize("content", [b"", b"not a film at all" * 100])
def test_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match="damaged or cut off"):
        read_movie(path)


def test_cut_off_film_is_refused(tmp_path, clip):
    path = write_movie(clip, tmp_path / "film.mkv", 16).path
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MediaError):
        read_movie(path).pixels()


def test_missing_film_is_refused(tmp_path):
    with pytest.raises(MediaError, match="does not exist"):
        read_movie(tmp_path / "film.mp4")


@pytest.mark.parametrize("given", ["mkv", "mp4"])
@pytest.mark.parametrize("wanted", ["mkv", "mp4"])
def test_film_with_reordered_pictures_is_copied_whole(tmp_path, clip, given, wanted):
    film, copy = tmp_path / f"film.{given}", tmp_path / f"copy.{wanted}"
    write_movie(clip, film, 20)
    copy_movie(film, copy)
    assert torch.equal(read_movie(copy).pixels(), read_movie(film).pixels())


@pytest.mark.parametrize(("codec", "ending"), [("libsvtav1", "mp4"), ("prores_ks", "mov")])
def test_film_is_copied_whether_or_not_its_codec_can_be_written(tmp_path, codec, ending):
    film, copy = tmp_path / f"film.{ending}", tmp_path / f"copy.{ending}"
    with av.open(str(film), mode="w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height = 96, 64
        stream.pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    copy_movie(film, copy)
    assert torch.equal(read_movie(copy).pixels(), read_movie(film).pixels())


def test_sound_that_nobody_can_decode_is_left_out_of_a_copy(tmp_path, clip):
    write_movie(clip, tmp_path / "film.mp4", 20, waveform=torch.zeros(1, 48000))
    content = (tmp_path / "film.mp4").read_bytes()
    assert content.count(b"mp4a") == 1
    (tmp_path / "strange.mp4").write_bytes(content.replace(b"mp4a", b"apac").replace(b"esds", b"none"))
    assert read_movie(tmp_path / "strange.mp4").sample_rate is None
    copy_movie(tmp_path / "strange.mp4", tmp_path / "copy.mp4")
    assert torch.equal(read_movie(tmp_path / "copy.mp4").pixels(), read_movie(tmp_path / "film.mp4").pixels())


def test_damaged_source_is_told_as_such(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"no film" * 100)
    with pytest.raises(MediaError, match=r"film\.mp4 cannot be read"):
        copy_movie(tmp_path / "film.mp4", tmp_path / "copy.mp4")
    assert not (tmp_path / "copy.mp4").exists()


def test_copy_keeps_every_frame_and_adds_tags(tmp_path, clip):
    waveform = torch.zeros(1, 48000)
    write_movie(clip, tmp_path / "film.mp4", 20, waveform=waveform, metadata={"prompt": "one"})
    copy_movie(tmp_path / "film.mp4", tmp_path / "copy.mp4", {"workflow": {"a": 1}})
    first, second = read_movie(tmp_path / "film.mp4"), read_movie(tmp_path / "copy.mp4")
    assert torch.equal(first.pixels(), second.pixels())
    assert second.waveform.shape == (1, 48000)
    assert second.metadata["prompt"] == "one"
    assert second.metadata["workflow"] == {"a": 1}
