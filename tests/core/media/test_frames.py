"""Frames as pictures."""

import pytest
import torch
from PIL import Image

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media import frames


def test_every_level_survives_the_way_to_pixels_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    pixels = frames.from_uint8(levels)
    assert pixels.shape == (3, 1, 16, 16)
    assert pixels.min() == -1
    assert pixels.max() == 1
    assert torch.equal(frames.to_uint8(pixels), levels)


def test_pixels_out_of_range_are_clipped_and_invalid_ones_are_grey():
    pixels = torch.tensor([-5.0, 5.0, float("nan"), float("inf")]).view(1, 1, 1, 4).expand(3, 1, 1, 4)
    assert frames.to_uint8(pixels)[0, 0, :, 0].tolist() == [0, 255, 128, 255]


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\[..., 3, T, H, W\]"):
        frames.to_uint8(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ShapeError, match="uint8"):
        frames.from_uint8(torch.zeros(1, 4, 4, 3))


def test_contact_sheet_lays_frames_out_in_reading_order():
    levels = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1).expand(5, 10, 20, 3)
    sheet = frames.contact_sheet(levels, columns=3, gap=2)
    assert sheet.size == (3 * 22 + 2, 2 * 12 + 2)
    centres = [(2 + 22 * column + 10, 2 + 12 * row + 5) for row in range(2) for column in range(3)]
    assert [sheet.getpixel(centre)[0] for centre in centres[:5]] == [0, 50, 100, 150, 200]


def test_labels_are_written_and_must_match_the_frames():
    clip = torch.zeros(3, 2, 32, 64)
    plain, labelled = frames.contact_sheet(clip), frames.contact_sheet(clip, labels=["0.0 s", "a label much too long"])
    assert labelled.size[1] == plain.size[1] + frames.LABEL_HEIGHT
    assert len(labelled.crop((0, 34, 132, labelled.size[1])).getcolors(1000)) > 2
    with pytest.raises(MediaError, match="1 labels were given for 2 frames"):
        frames.contact_sheet(clip, labels=["one"])


def test_animation_keeps_frames_and_duration(tmp_path):
    clip = -torch.ones(3, 16, 24, 32)
    for frame in range(16):
        clip[0, frame, :, 2 * frame : 2 * frame + 2] = 1
    path = frames.save_webp(clip, tmp_path / "clip.webp", fps=16)
    milliseconds = 0
    with Image.open(path) as image:
        assert image.n_frames == 16
        assert image.size == (32, 24)
        for index in range(16):
            image.seek(index)
            image.load()
            milliseconds += image.info["duration"]
    assert milliseconds == 1000
    assert list(tmp_path.iterdir()) == [path]
