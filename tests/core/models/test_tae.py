import math

import pytest
import torch

from moviegen_core.errors import CheckpointError, ConfigError, ShapeError
from moviegen_core.models import catalog, loading
from moviegen_core.models.tae.checkpoint import deflate, inflate
from moviegen_core.models.tae.model import TAEConfig
from moviegen_core.models.tae.start import linear_start

IMAGE_LIKE = TAEConfig(
    channels=(8, 8, 16, 16), norm_groups=4, encoder_blocks=(1, 1, 1, 1), decoder_blocks=(2, 2, 2, 2), latent_channels=4
)
FOLDED = TAEConfig(
    channels=(48, 48, 56, 56), spatial_strides=(2, 1, 1), stem_fold=4, encoder_blocks=(0, 0, 1, 0),
    decoder_blocks=(1, 0, 0, 1), norm_groups=8, subpixel=True, linear_path=True,
)  # fmt: skip
CONFIGS = {"image_like": IMAGE_LIKE, "folded": FOLDED}


def build(config, seed=0, scramble=True):
    """A network whose temporal layers are random too, unless `scramble` is off."""
    torch.manual_seed(seed)
    tae = catalog.build("tae", config, device="cpu").eval()
    if scramble:
        with torch.no_grad():
            for parameter in tae.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return tae


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 24), (7, 8, 16), (8, 24, 8), (9, 16, 16), (17, 8, 8)])
@torch.no_grad()
def test_any_length_rounds_up_and_comes_back(config, frames, height, width):
    tae = build(config)
    pixels = torch.rand(2, 3, frames, height, width) * 2 - 1
    latent = tae.encode(pixels)
    assert latent.shape == (2, config.latent_channels, math.ceil(frames / 8), height // 8, width // 8)
    assert tae.decode(latent, frames).shape == pixels.shape
    assert tae.decode(latent).shape[2] == 8 * latent.shape[2]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@torch.no_grad()
def test_a_clip_that_stands_still_encodes_to_latents_that_stand_still(config):
    tae = build(config)
    image = torch.rand(1, 3, 1, 16, 16) * 2 - 1
    one, many = tae.encode(image), tae.encode(image.expand(-1, -1, 24, -1, -1))
    torch.testing.assert_close(many, one.expand_as(many), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_replicate_padding_lets_a_still_latent_decode_to_a_still():
    tae = build(IMAGE_LIKE)
    latent = torch.randn(1, 4, 1, 2, 2)
    one, many = tae.decode(latent, 1), tae.decode(latent.expand(-1, -1, 3, -1, -1))
    torch.testing.assert_close(many, one.expand_as(many), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_time_reversed_latents_decode_to_the_reversed_clip_when_the_taps_are_symmetric():
    tae = build(IMAGE_LIKE)
    for name, parameter in tae.named_parameters():
        if name.endswith("taps.weight"):
            parameter.copy_((parameter + parameter.flip(2)) / 2)
    latent = torch.randn(1, 4, 3, 2, 2)
    torch.testing.assert_close(tae.decode(latent.flip(2)), tae.decode(latent).flip(2), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_samples_of_a_batch_do_not_touch_each_other():
    tae = build(FOLDED)
    pixels = torch.rand(2, 3, 9, 16, 16) * 2 - 1
    latent = tae.encode(pixels)
    torch.testing.assert_close(latent[1:], tae.encode(pixels[1:]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tae.decode(latent)[:1], tae.decode(latent[:1]), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_fresh_temporal_layers_make_an_image_autoencoder_of_every_frame():
    tae = build(IMAGE_LIKE, scramble=False)
    pixels = torch.rand(1, 3, 17, 16, 16) * 2 - 1
    latent = tae.encode(pixels)
    for place in range(3):  # strided identity taps keep every eighth frame
        torch.testing.assert_close(latent[:, :, place], tae.encode(pixels[:, :, [8 * place]])[:, :, 0])
    decoded = tae.decode(latent)
    torch.testing.assert_close(decoded[:, :, 8:16], tae.decode(latent[:, :, 1:2]).expand(-1, -1, 8, -1, -1))


@pytest.mark.parametrize("layout", ["diffusers", "latent_diffusion"])
@torch.no_grad()
def test_image_autoencoder_weights_survive_the_round_trip(layout):
    source, target = build(IMAGE_LIKE), build(IMAGE_LIKE, seed=1)
    state = deflate(source, layout)
    inflate(target, state)
    again = deflate(target, layout)
    assert state.keys() == again.keys()
    assert all(torch.equal(state[key], again[key]) for key in state)


@torch.no_grad()
def test_an_inflated_network_equals_the_public_image_autoencoder():
    import diffusers

    torch.manual_seed(2)
    image = diffusers.AutoencoderKL(
        block_out_channels=(8, 16, 16, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()  # fmt: skip
    config = TAEConfig(
        channels=(8, 16, 16, 16), norm_groups=4, encoder_blocks=(1, 1, 1, 1), decoder_blocks=(2, 2, 2, 2),
        latent_channels=4, latent_projections=True,
    )  # fmt: skip
    tae = build(config)
    state = image.state_dict()
    assert deflate(tae).keys() == state.keys()
    inflate(tae, state)
    pixels = torch.rand(2, 3, 16, 24) * 2 - 1
    expected = image.encode(pixels).latent_dist
    found = tae.posterior(pixels[:, :, None])
    torch.testing.assert_close(found.mean[:, :, 0], expected.mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.log_variance[:, :, 0], expected.logvar, atol=1e-4, rtol=1e-4)
    decoded = image.decode(expected.mean).sample
    torch.testing.assert_close(tae.decode_raw(found.mean, 1)[:, :, 0], decoded, atol=1e-4, rtol=1e-4)


def test_a_file_of_another_network_is_refused_by_the_inflation():
    with pytest.raises(CheckpointError, match="give one in the layout"):
        inflate(build(IMAGE_LIKE), {"blocks.0.weight": torch.zeros(1)})
    state = deflate(build(IMAGE_LIKE))
    del state["encoder.conv_in.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 of .*encoder\.conv_in\.weight"):
        inflate(build(IMAGE_LIKE), state)


@torch.no_grad()
def test_saved_network_loads_with_its_statistics(tmp_path):
    tae = build(FOLDED)
    tae.set_statistics(torch.arange(16.0), torch.arange(16.0) + 1)
    loaded = loading.load(loading.save(tae, tmp_path / "tae.safetensors"), network="tae")
    pixels = torch.rand(1, 3, 9, 8, 8) * 2 - 1
    torch.testing.assert_close(loaded.encode(pixels), tae.encode(pixels), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_statistics_give_the_latent_unit_variance_and_are_undone_by_decoding():
    tae = build(IMAGE_LIKE)
    pixels = torch.rand(2, 3, 16, 32, 32) * 2 - 1
    raw = tae.posterior(pixels).mean
    tae.set_statistics(raw.mean((0, 2, 3, 4)), raw.std((0, 2, 3, 4)))
    latent = tae.encode(pixels)
    torch.testing.assert_close(latent.std((0, 2, 3, 4)), torch.ones(4))
    torch.testing.assert_close(tae.decode(latent), tae.decode_raw(raw), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_linear_start_already_reconstructs_smooth_clips():
    tae = build(FOLDED, scramble=False)
    ramp = torch.linspace(-1, 1, 32)
    slopes = torch.rand(8, 3, 1, 1, 1) * 2 - 1
    pixels = (slopes * ramp.view(1, 1, 1, -1, 1) + slopes.flip(0) * ramp).expand(-1, -1, 16, -1, -1) / 2
    before = (tae.decode(tae.encode(pixels)) - pixels).square().mean()
    linear_start(tae, pixels)
    after = (tae.decode(tae.encode(pixels)) - pixels).square().mean()
    assert after < 1e-3 < before


def test_linear_start_is_refused_without_a_linear_path():
    with pytest.raises(ConfigError, match="linear_path"):
        linear_start(build(IMAGE_LIKE), torch.zeros(1, 3, 8, 16, 16))


def test_sizes_and_lengths_that_do_not_fit_are_refused():
    tae = build(IMAGE_LIKE)
    with pytest.raises(ShapeError, match="multiples of 8"):
        tae.encode(torch.zeros(1, 3, 1, 12, 16))
    with pytest.raises(ShapeError, match="give \\[batch"):
        tae.encode(torch.zeros(1, 4, 1, 16, 16))
    with pytest.raises(ShapeError, match="1 to 16"):
        tae.decode(torch.zeros(1, 4, 2, 2, 2), 17)
    with pytest.raises(ConfigError, match="strides"):
        TAEConfig(channels=(8, 8))
    with pytest.raises(ConfigError, match="at least one block"):
        TAEConfig(channels=(32, 32, 64, 64), encoder_blocks=(1, 1, 0, 1))


def test_full_preset_has_the_widths_of_latent_diffusion_and_compresses_eight_fold():
    config = catalog.get("tae").preset("full")
    assert config.channels == (128, 256, 512, 512)
    for name in ("full", "nano"):
        preset = catalog.get("tae").preset(name)
        assert (preset.temporal_stride, preset.spatial_stride, preset.latent_channels) == (8, 8, 16)
    image_part = 83_653_863  # parameters of the KL-f8 image autoencoder with 4 latent channels
    tae = catalog.build("tae", "full")
    spatial = sum(value.numel() for value in deflate(tae).values())
    # 16 latent channels: 24 more moments out, 12 more channels in; no projections around the latent.
    changed = 24 * (512 * 9 + 1) + 12 * 512 * 9 - (8 * 8 + 8 + 4 * 4 + 4)
    assert spatial == image_part + changed
