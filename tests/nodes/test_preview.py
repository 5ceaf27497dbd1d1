"""Pictures of a clip while it is sampled."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize(("length", "shown"), [(1, [0]), (3, [0, 1, 2]), (10, [0, 3, 6, 9]), (32, [0, 10, 21, 31])])
def test_strip_shows_frames_spread_over_the_whole_clip(length, shown, part):
    clip = torch.arange(float(length)).view(1, 1, length, 1, 1).expand(2, 16, length, 4, 6)
    strip = part("preview").strip(clip)
    assert strip.shape == (1, 16, 4, 6 * len(shown))
    assert strip[0, 5, 2, ::6].tolist() == shown


def test_strip_keeps_each_frames_rows_and_columns(part):
    clip = torch.randn(1, 16, 4, 3, 5)
    strip = part("preview").strip(clip)
    assert all(torch.equal(strip[:, :, :, 5 * index : 5 * index + 5], clip[:, :, index]) for index in range(4))


def test_latents_without_time_stay_as_they_are(part):
    picture = torch.randn(1, 4, 8, 8)
    assert part("preview").strip(picture) is picture
    assert part("preview").picture(picture) is None


def test_picture_is_the_strip_in_pixels(part):
    assert part("preview").picture(torch.randn(1, 16, 8, 4, 6)).size == (4 * 6 * 8, 4 * 8)


def test_picture_has_the_colours_of_the_model(part):
    red = part("preview").picture(torch.ones(1, 48, 1, 4, 6), [[1.0, -1.0, -1.0]] * 48, [0.0, 0.0, 0.0])
    assert red.getpixel((0, 0)) == (255, 0, 0)
    assert part("preview").picture(torch.ones(1, 48, 1, 4, 6)) is None
