"""Pictures as they are meant to be seen: colours that nobody told, pixels that are not square, sizes that change."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from moviegen_core.errors import MediaError
from moviegen_core.media.movie import read_movie
from moviegen_core.media.pictures import timed_windows
from moviegen_core.media.upright import is_hdr, refuse_hdr

RED = (200, 30, 30)


def write_plain(
    path, height, width, *, matrix="ITU709", aspect=None, transfer=None, codec="libx264", frames=3, tags=None
):
    """A film of one colour, whose file does not tell what its colours mean."""
    picture = np.full((height, width, 3), RED, np.uint8)
    with av.open(str(path), mode="w", options={"movflags": "use_metadata_tags"} if tags else {}) as container:
        container.metadata.update(tags or {})
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if transfer is not None:
            stream.codec_context.color_trc = transfer
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
        for number in range(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("height", "width", "matrix"), [(720, 1280, "ITU709"), (480, 640, "ITU601")])
def test_untold_colours_are_those_of_the_films_size(tmp_path, height, width, matrix):
    film = write_plain(tmp_path / "film.mp4", height, width, matrix=matrix)
    with av.open(str(film)) as container:
        assert container.streams.video[0].codec_context.colorspace == 2  # unspecified
    wanted = torch.tensor(RED) / 127.5 - 1
    for pixels in (read_movie(film).pixels(), next(timed_windows(film))[0]):
        assert (pixels.mean(dim=(1, 2, 3)) - wanted).abs().max() < 4 / 127.5


def test_untold_colours_of_a_film_of_comfyui_are_as_it_writes_them(tmp_path):
    film = write_plain(tmp_path / "film.mp4", 720, 1280, matrix="ITU601", tags={"prompt": "{}"})
    assert (read_movie(film).pixels().mean(dim=(1, 2, 3)) - (torch.tensor(RED) / 127.5 - 1)).abs().max() < 4 / 127.5


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(2, 1), 128), (Fraction(8, 9), 56), (Fraction(1, 1), 64)])
def test_pixels_become_square(tmp_path, aspect, width):
    film = write_plain(tmp_path / "film.mp4", 48, 64, aspect=aspect)
    movie = read_movie(film)
    assert (movie.height, movie.width) == (48, width)
    assert movie.pixels().shape == (3, 3, 48, width)
    assert next(timed_windows(film, shorter_side=24))[0].shape == (3, 3, 24, width // 2)


def test_pictures_whose_size_changes_on_the_way_keep_that_of_the_first(tmp_path):
    pieces = [write_plain(tmp_path / f"{side}.ts", side, side, codec="mpeg2video") for side in (64, 96)]
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    pixels = read_movie(film).pixels()
    assert pixels.shape[1] > 3  # FFmpeg loses one where the files meet
    assert pixels.shape[2:] == (64, 64)


def test_hdr_film_is_told(tmp_path):
    plain, hdr = (write_plain(tmp_path / f"{code}.mp4", 48, 64, transfer=code) for code in (1, 18))
    assert (is_hdr(plain), is_hdr(hdr)) == (False, True)
    refuse_hdr(plain)
    with pytest.raises(MediaError, match=r"18\.mp4 is HDR, .*; convert it to SDR first"):
        refuse_hdr(hdr)
