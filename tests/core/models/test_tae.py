import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from moviegen_core.cli import main
from moviegen_core.errors import CheckpointError, ConfigError, ShapeError
from moviegen_core.models import catalog, conversion, loading
from moviegen_core.models.tae.checkpoint import complete, image_keys, recognise
from moviegen_core.models.tae.model import TAEConfig
from moviegen_core.models.tae.start import grow, linear_start

IMAGE_LIKE = TAEConfig(
    channels=(8, 8, 16, 16), norm_groups=4, encoder_blocks=(1, 1, 1, 1), decoder_blocks=(2, 2, 2, 2), latent_channels=4
)
FOLDED = TAEConfig(
    channels=(48, 48, 56, 56), spatial_strides=(2, 1, 1), stem_fold=4, encoder_blocks=(0, 0, 1, 0),
    decoder_blocks=(1, 0, 0, 1), norm_groups=8, subpixel=True, linear_path=True,
)  # fmt: skip
GROWN = replace(FOLDED, encoder_blocks=(1, 0, 1, 1), decoder_blocks=(2, 0, 1, 1), head_mlp=2)
CONFIGS = {"image_like": IMAGE_LIKE, "folded": FOLDED, "grown": GROWN}


def build(config, seed=0, scramble=True):
    """A network whose temporal layers are random too, unless `scramble` is off."""
    torch.manual_seed(seed)
    tae = catalog.build("tae", config, device="cpu").eval()
    if scramble:
        with torch.no_grad():
            for parameter in tae.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return tae


def as_image(tae, layout):
    """The spatial weights as a public file holds them; Latent Diffusion projects by 1 x 1 convolutions."""
    own = tae.state_dict()
    return {
        foreign: own[key][:, :, None, None] if ".attn_1." in foreign and own[key].ndim == 2 else own[key]
        for key, foreign in image_keys(tae, layout).items()
    }


def shapes(state):
    return {key: tuple(value.shape) for key, value in state.items()}


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


PUBLIC = TAEConfig(
    channels=(32, 64, 64), spatial_strides=(2, 2), temporal_strides=(2, 2), encoder_blocks=(1, 2, 1),
    decoder_blocks=(2, 3, 2), latent_channels=4, latent_projections=True,
)  # fmt: skip


@pytest.mark.parametrize("layout", ["diffusers", "latent_diffusion"])
@pytest.mark.parametrize("config", [PUBLIC, catalog.get("tae").preset("full")], ids=["projected", "full"])
def test_sizes_of_an_image_autoencoder_are_read_from_its_shapes(layout, config):
    tae = catalog.build("tae", config)
    assert recognise(shapes(as_image(tae, layout))) == config
    assert recognise(shapes(tae.state_dict())) is None


@pytest.mark.parametrize("layout", ["diffusers", "latent_diffusion"])
@torch.no_grad()
def test_image_autoencoder_weights_come_in_under_their_names(layout):
    source = build(IMAGE_LIKE)
    made = build(IMAGE_LIKE, seed=1)
    made.load_state_dict(complete({**as_image(source, layout), "loss.logvar": torch.zeros(())}, IMAGE_LIKE))
    assert as_image(source, layout).keys() == as_image(made, layout).keys()
    for key, value in as_image(source, layout).items():
        assert torch.equal(value, as_image(made, layout)[key])


@pytest.mark.parametrize("renamed", [False, True], ids=["as now", "as older files"])
@torch.no_grad()
def test_a_converted_image_autoencoder_computes_what_the_public_one_does(tmp_path, renamed):
    import diffusers

    torch.manual_seed(2)
    image = diffusers.AutoencoderKL(
        block_out_channels=(32, 64, 64, 64), layers_per_block=1, norm_num_groups=32, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()  # fmt: skip
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"} if renamed else {}
    state = {}
    for key, value in image.state_dict().items():
        for new, old in older.items():
            key = key.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
        state[key] = value
    save_file(state, tmp_path / "vae.safetensors")
    tae = loading.load(conversion.convert(tmp_path / "vae.safetensors", tmp_path / "tae.safetensors"), network="tae")
    pixels = torch.rand(2, 3, 16, 24) * 2 - 1
    expected = image.encode(pixels).latent_dist
    found = tae.posterior(pixels[:, :, None])
    torch.testing.assert_close(found.mean[:, :, 0], expected.mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.log_variance[:, :, 0], expected.logvar, atol=1e-4, rtol=1e-4)
    decoded = image.decode(expected.mean).sample
    torch.testing.assert_close(tae.decode_raw(found.mean, 1)[:, :, 0], decoded, atol=1e-4, rtol=1e-4)


def test_command_converts_an_image_autoencoder_of_a_presets_sizes(tmp_path, capsys):
    source = tmp_path / "vae.safetensors"
    state = as_image(build(PUBLIC), "latent_diffusion")
    save_file({key: value.half().contiguous() for key, value in state.items()}, source)
    target = tmp_path / "tae.safetensors"
    assert main(["convert", str(source), str(target), "--network", "tae"]) == 0
    assert {value.dtype for value in loading.load(target).state_dict().values()} == {torch.float16}
    assert (
        main(["convert", str(source), str(tmp_path / "other.safetensors"), "--network", "tae", "--preset", "full"]) == 2
    )
    assert "give one of Latent Diffusion's plain networks, and no preset" in capsys.readouterr().err


def test_image_autoencoders_that_do_not_fit_are_refused():
    state = as_image(build(PUBLIC), "diffusers")
    with pytest.raises(CheckpointError, match=r"lacks 1 of .*encoder\.conv_in\.weight"):
        complete({key: value for key, value in state.items() if key != "encoder.conv_in.weight"}, PUBLIC)
    with pytest.raises(CheckpointError, match=r"1 too many \(decoder\.up_blocks\.0\.attentions\.0\.to_q\.weight\)"):
        complete({**state, "decoder.up_blocks.0.attentions.0.to_q.weight": torch.zeros(64, 64)}, PUBLIC)
    with pytest.raises(CheckpointError, match=r"encoder\.conv_in\.weight is \(2, 3, 3, 3\), but \(32, 3, 3, 3\)"):
        complete({**state, "encoder.conv_in.weight": torch.zeros(2, 3, 3, 3)}, PUBLIC)


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


@torch.no_grad()
def test_grown_network_does_what_the_smaller_did_until_its_new_parts_speak():
    small, large = build(FOLDED), build(GROWN, seed=1, scramble=False)
    small.set_statistics(torch.randn(16), torch.rand(16) + 0.5)
    pixels = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    grow(large, small)
    assert torch.equal(large.decode(large.encode(pixels)), small.decode(small.encode(pixels)))
    for part in (large.encoder.levels[0][0].conv2.spatial, large.decoder.mlp.down):
        part.bias.add_(0.1)
    assert not torch.allclose(large.encode(pixels), small.encode(pixels))
    assert not torch.allclose(large.decode(small.encode(pixels)), small.decode(small.encode(pixels)))


@pytest.mark.parametrize(
    ("given", "reason"),
    [(GROWN, "has no place"), (replace(FOLDED, latent_channels=8), "may differ"), (IMAGE_LIKE, "may differ")],
)
def test_only_a_smaller_network_of_the_same_kind_grows(given, reason):
    with pytest.raises(ConfigError, match=reason):
        grow(build(FOLDED), build(given))


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
    with pytest.raises(ConfigError, match="head_mlp is -1"):
        replace(FOLDED, head_mlp=-1)
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
    spatial = sum(value.numel() for value in as_image(tae, "diffusers").values())
    # 16 latent channels: 24 more moments out, 12 more channels in; no projections around the latent.
    changed = 24 * (512 * 9 + 1) + 12 * 512 * 9 - (8 * 8 + 8 + 4 * 4 + 4)
    assert spatial == image_part + changed
