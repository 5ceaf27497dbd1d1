"""Sound that a film cannot take, and copying that is cancelled: one line says it, and nothing is left behind."""

import pytest
import torch
from films import noisy_frames, tone, write_film

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.media.movie import write_movie
from moviegen_core.media.mux import TS_ENDINGS, check_container, set_audio
from moviegen_core.media.sound import write_sound


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


@pytest.mark.parametrize("ending", ["xyz", "avi"])
def test_ending_that_no_film_is_written_with_is_refused(tmp_path, ending):
    write_movie(noisy_frames(3), tmp_path / "film.mp4", 24)
    with pytest.raises(MediaError, match=rf"new\.{ending}: films are written as \.mp4, .*; change the file's ending"):
        set_audio(tmp_path / "film.mp4", tone(1), tmp_path / f"new.{ending}")
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize("ending", TS_ENDINGS)
def test_pictures_that_a_transport_stream_cannot_hold_are_refused(tmp_path, ending):
    write_film(tmp_path / "film.webm", "libvpx-vp9")
    with pytest.raises(MediaError, match=r"cannot hold vp9 pictures; choose a name that ends in \.mkv"):
        set_audio(tmp_path / "film.webm", tone(1.0), tmp_path / f"new{ending}")
    assert [file.name for file in tmp_path.iterdir()] == ["film.webm"]


@pytest.mark.parametrize(("ending", "codec"), [(".h264", "libx264"), (".y4m", "rawvideo")])
def test_film_that_cannot_be_copied_is_told_before_the_work(tmp_path, ending, codec):
    film = tmp_path / f"film{ending}"
    write_film(film, codec, b_frames=2)
    with pytest.raises(
        MediaError, match=r"pictures of .*film.* cannot be copied as they are.*; convert it to an \.mp4"
    ):
        check_container(film, tmp_path / "out.mkv")


def test_film_is_never_written_over_itself(tmp_path):
    write_movie(noisy_frames(4), tmp_path / "film.mp4", 24)
    before = (tmp_path / "film.mp4").read_bytes()
    with pytest.raises(MediaError, match="choose another name"):
        set_audio(tmp_path / "film.mp4", tone(1), tmp_path / "." / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == before


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
