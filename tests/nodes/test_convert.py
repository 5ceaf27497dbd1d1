"""ComfyUI's values <-> the core's tensors."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ShapeError
from moviegen_core.flow import times

WIDTHS = {"ul2": 6, "metaclip": 4, "byt5": 3}


@pytest.fixture
def convert(part):
    return part("convert")


def random_conditioning() -> Conditioning:
    context = {name: torch.randn(2, 3, width) for name, width in WIDTHS.items()}
    masks = {name: torch.tensor([[1, 1, 0], [1, 0, 0]]).bool() for name in WIDTHS}
    return Conditioning({name: context[name] * masks[name].unsqueeze(-1) for name in WIDTHS}, masks)


def test_packing_keeps_every_valid_token_of_every_encoder(convert):
    given = random_conditioning()
    back = convert.unpack(convert.pack(given, 6), WIDTHS)
    for name in WIDTHS:
        used = given.context_mask[name].any(0)
        assert torch.equal(back.context_mask[name], given.context_mask[name][:, used])
        assert torch.equal(back.context[name], given.context[name][:, used])


def test_zeroed_conditioning_is_the_null_condition(convert):
    masks = convert.unpack(torch.zeros_like(convert.pack(random_conditioning(), 6)), WIDTHS).context_mask
    assert not any(bool(mask.any()) for mask in masks.values())


def test_conditioning_without_tokens_packs_to_empty_ones(convert):
    packed = convert.pack(Conditioning.empty(2), 6)
    assert packed.shape == (2, 3, 9)
    assert not packed.any()


def test_average_of_two_prompts_mixes_tokens_of_one_encoder_only(convert):
    first, second = (convert.pack(random_conditioning(), 6) for _ in range(2))
    mixed = convert.unpack(0.25 * first + 0.75 * second, WIDTHS)
    one, other = convert.unpack(first, WIDTHS), convert.unpack(second, WIDTHS)
    for name in WIDTHS:
        assert torch.allclose(mixed.context[name], 0.25 * one.context[name] + 0.75 * other.context[name])
    convert.check_packed(0.25 * first + 0.75 * second, WIDTHS)


def test_padding_a_packed_conditioning_changes_nothing(convert):
    packed = convert.pack(random_conditioning(), 6)
    padded = torch.nn.functional.pad(packed, (0, 5, 0, 4))
    plain, again = convert.unpack(packed, WIDTHS), convert.unpack(padded, WIDTHS)
    assert all(torch.equal(plain.context[name], again.context[name]) for name in WIDTHS)


def test_conditioning_of_another_family_is_refused(convert):
    with pytest.raises(ShapeError, match="Load Text Encoders"):
        convert.check_packed(torch.randn(1, 77, 768), WIDTHS)


def test_encoder_of_another_width_is_refused(convert):
    packed = convert.pack(random_conditioning(), 6)
    with pytest.raises(ShapeError, match="belong to the model"):
        convert.check_packed(packed, {**WIDTHS, "ul2": 5})
    with pytest.raises(ShapeError, match="set byt5 to none"):
        convert.check_packed(packed, {"ul2": 6, "metaclip": 4})
    convert.check_packed(packed, WIDTHS)


def test_sigmas_fall_from_one_to_exactly_zero(convert):
    sigmas = convert.sigmas(times.linear_quadratic(50))
    assert sigmas[0] == 1.0
    assert sigmas[-1] == 0.0
    assert bool((sigmas[1:] < sigmas[:-1]).all())
    assert torch.allclose(convert.times(sigmas), times.linear_quadratic(50), atol=1e-7)


def test_images_survive_the_way_to_pixels_and_back(convert):
    images = torch.rand(5, 32, 48, 3)
    pixels = convert.from_images(images)
    assert pixels.shape == (1, 3, 5, 32, 48)
    assert torch.allclose(convert.to_images(pixels), images, atol=1e-6)


def test_images_are_cut_around_the_middle_and_lose_their_alpha(convert):
    images = torch.rand(2, 35, 50, 4)
    assert torch.allclose(convert.to_images(convert.from_images(images)), images[:, 1:33, 1:49, :3], atol=1e-6)


def test_grey_images_get_three_channels(convert):
    assert convert.from_images(torch.rand(1, 16, 16, 1)).shape == (1, 3, 1, 16, 16)


def test_too_small_images_are_refused(convert):
    with pytest.raises(ShapeError, match="at least 16"):
        convert.from_images(torch.rand(1, 15, 64, 3))


def test_invalid_pictures_become_black_and_are_spoken_of(convert, caplog):
    images = torch.tensor([float("nan"), float("inf"), -3.0, 0.5]).reshape(4, 1, 1, 1).expand(4, 16, 16, 3)
    pixels = convert.pixels(images)
    assert pixels[:, :, 0, 0].tolist() == [[-1.0, 1.0, -1.0, 0.0]] * 3
    assert torch.equal(convert.from_images(images)[0], pixels)
    assert "no numbers" in caplog.text
    assert bool(images[0].isnan().all())


def test_pictures_of_values_within_range_are_not_spoken_of(convert, caplog):
    convert.pixels(torch.rand(2, 4, 4, 4, dtype=torch.float16))
    assert not caplog.text


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 16, 16, 2), (2, 0, 16, 3)])
def test_what_is_no_picture_batch_is_refused(convert, shape):
    for function in (convert.pixels, convert.from_images):
        with pytest.raises(ShapeError, match=r"must be \[frames, H, W, 3\]"):
            function(torch.zeros(shape))
