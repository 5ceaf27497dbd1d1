import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from moviegen_core.errors import CheckpointError, ConfigError, ShapeError
from moviegen_core.models import catalog, conversion, loading
from moviegen_core.models.audio_codec import gains
from moviegen_core.models.audio_codec.checkpoint import folded, recognise
from moviegen_core.models.audio_codec.model import AudioCodecConfig
from moviegen_core.models.audio_codec.start import lapped_basis, linear_start

RELEASED_LIKE = AudioCodecConfig(
    encoder_dim=4, encoder_rates=(2, 3, 4), latent_dim=12, latent_channels=6, decoder_dim=48, decoder_rates=(4, 3, 2),
    watermark_rates=(3, 2, 2),
)  # fmt: skip
LAPPED = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(4,), latent_dim=12, latent_channels=24, decoder_dim=16, decoder_rates=(4,),
    watermark_rates=(), weight_norm=False, transform=12,
)  # fmt: skip


def small_released():
    """A config whose watermark branch fits its fixed 512 and 32 channels, as the released one does."""
    return replace(RELEASED_LIKE, decoder_dim=1536, decoder_rates=(2, 3, 2, 2), watermark_rates=(2, 2, 2, 2))


def build(config, seed=0):
    torch.manual_seed(seed)
    codec = catalog.build("audio_codec", config, device="cpu").eval()
    with torch.no_grad():
        for name, value in codec.named_parameters():
            if name.endswith("alpha"):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("weight_v", "weight_g", "weight")) and "lstm" not in name:
                value.mul_(1 + 0.3 * torch.rand_like(value))
            elif name.endswith("bias"):
                value.normal_(std=0.05)
    return codec


def normed(state, name):
    """The weight of an old-style weight normalisation, or the plain one."""
    if f"{name}.weight" in state:
        return state[f"{name}.weight"]
    length = state[f"{name}.weight_v"].flatten(1).norm(dim=1).view(-1, 1, 1)
    return state[f"{name}.weight_v"] / length * state[f"{name}.weight_g"]


def snake(state, name, x):
    alpha = state[f"{name}.alpha"]
    return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)


def unit(state, name, x, dilation):
    y = snake(state, f"{name}.block.0", x)
    y = F.conv1d(
        y, normed(state, f"{name}.block.1"), state[f"{name}.block.1.bias"], padding=3 * dilation, dilation=dilation
    )
    y = snake(state, f"{name}.block.2", y)
    return x + F.conv1d(y, normed(state, f"{name}.block.3"), state[f"{name}.block.3.bias"])


def reference_moments(state, waveform, rates):
    x = F.conv1d(waveform, normed(state, "encoder.block.0"), state["encoder.block.0.bias"], padding=3)
    for index, rate in enumerate(rates, 1):
        name = f"encoder.block.{index}.block"
        for part, dilation in enumerate((1, 3, 9)):
            x = unit(state, f"{name}.{part}", x, dilation)
        x = snake(state, f"{name}.3", x)
        x = F.conv1d(x, normed(state, f"{name}.4"), state[f"{name}.4.bias"], stride=rate, padding=rate // 2)
    last = len(rates) + 1
    x = snake(state, f"encoder.block.{last}", x)
    x = F.conv1d(x, normed(state, f"encoder.block.{last + 1}"), state[f"encoder.block.{last + 1}.bias"], padding=1)
    x = F.conv1d(x, normed(state, "quantizer.in_proj"), state["quantizer.in_proj.bias"])
    mean, scale = x.chunk(2, dim=1)
    return mean, torch.log1p(scale.exp()) + 1e-4


def reference_features(state, latent, rates):
    x = F.conv1d(latent, normed(state, "quantizer.out_proj"), state["quantizer.out_proj.bias"])
    x = F.conv1d(x, normed(state, "decoder.model.0"), state["decoder.model.0.bias"], padding=3)
    for index, rate in enumerate(rates, 1):
        name = f"decoder.model.{index}.block"
        x = snake(state, f"{name}.0", x)
        x = F.conv_transpose1d(
            x, normed(state, f"{name}.1"), state[f"{name}.1.bias"], stride=rate, padding=(rate + 1) // 2,
            output_padding=rate % 2,
        )  # fmt: skip
        for part, dilation in ((4, 1), (5, 3), (8, 9)):
            x = unit(state, f"{name}.{part}", x, dilation)
    return x


def reference_sound(state, latent, rates):
    x = snake(state, "decoder.wm_model.encoder_block.pre.0", reference_features(state, latent, rates))
    name = "decoder.wm_model.encoder_block.pre.1"
    return torch.tanh(F.conv1d(x, normed(state, name), state[f"{name}.bias"], padding=3))


def remembered(state, name, x):
    """x and what two LSTM layers make of it, gates in the order input, forget, cell, output."""
    below = x
    for layer in (0, 1):
        weights = [state[f"{name}.lstm.{part}_l{layer}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        hidden = cell = torch.zeros_like(below[..., 0])
        above = []
        for step in below.unbind(-1):
            gates = F.linear(step, weights[0], weights[2]) + F.linear(hidden, weights[1], weights[3])
            enter, keep, new, leave = gates.chunk(4, dim=1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            above.append(hidden)
        below = torch.stack(above, dim=-1)
    return x + below


def delayed(state, name, x, stride=1):
    """A plain convolution whose result at a step knows nothing that begins after it."""
    weight = state[f"{name}.weight"]
    x = F.pad(x, (weight.shape[-1] - stride, -x.shape[-1] % stride))
    return F.conv1d(x, weight, state[f"{name}.bias"], stride=stride)


def halved(state, name, x):
    """The branch's residual unit."""
    y = delayed(state, f"{name}.block.1", F.elu(x))
    return x + delayed(state, f"{name}.block.3", F.elu(y))


def reference_mark(state, sound, bits, rates):
    """What the released layout adds to a clean sound [B, 1, N] for bits [B, 16]: a quarter of the branch's output.

    After facebookresearch/dacvae: each decoder block holds, at 7, 10, 11, a step down, passed from the last block to
    the first, and at 2, 3, 6 a step up, passed from the first to the last.
    """
    branch, blocks = "decoder.wm_model", range(1, len(rates) + 1)
    x = delayed(state, f"{branch}.encoder_block.pre.3", sound)
    for index in reversed(blocks):
        name = f"decoder.model.{index}.block"
        x = delayed(state, f"{name}.11", F.elu(halved(state, f"{name}.7", x)), rates[index - 1])
    x = remembered(state, f"{branch}.encoder_block.post.0", x)
    x = delayed(state, f"{branch}.encoder_block.post.2", F.elu(x))
    table = state[f"{branch}.msg_processor.msg_processor.weight"]
    told = [sum(table[2 * place + bit] for place, bit in enumerate(message)) for message in bits.tolist()]
    x = delayed(state, f"{branch}.decoder_block.pre.0", x + torch.stack(told).unsqueeze(-1))
    x = remembered(state, f"{branch}.decoder_block.pre.1", x)
    for index in blocks:
        name, rate = f"decoder.model.{index}.block", rates[index - 1]
        wide = F.conv_transpose1d(F.elu(x), state[f"{name}.3.weight"], state[f"{name}.3.bias"], stride=rate)
        x = halved(state, f"{name}.6", wide[..., : rate * x.shape[-1]])
    return delayed(state, f"{branch}.decoder_block.post.1", F.elu(x)) * 32 / 128


def test_full_preset_has_the_released_keys_and_parameters():
    codec = catalog.build("audio_codec", "full")
    keys = [key for key in codec.state_dict() if not key.startswith("latent_")]
    assert len(keys) == 317
    assert catalog.count_parameters(codec) == 107_671_171
    assert catalog.count_parameters(codec.encoder) == 27_288_704
    assert catalog.count_parameters(codec.quantizer) == 395_776
    assert catalog.count_parameters(codec.decoder) == 79_986_691
    assert catalog.count_parameters(codec.decoder.wm_model) == 9_328_483
    shapes = {key: tuple(value.shape) for key, value in codec.state_dict().items()}
    assert shapes["encoder.block.4.block.4.weight_v"] == (1024, 512, 24)
    assert shapes["decoder.model.1.block.1.weight_g"] == (1536, 1, 1)
    assert shapes["decoder.model.2.block.11.weight"] == (256, 128, 10)
    assert shapes["decoder.wm_model.msg_processor.msg_processor.weight"] == (32, 128)
    assert codec.config.hop_length == 1920
    assert codec.config.latent_rate == 25


def test_nano_preset_is_small_and_keeps_the_rate():
    codec = catalog.build("audio_codec", "nano")
    assert catalog.count_parameters(codec) <= 2_000_000
    assert (codec.config.hop_length, codec.config.latent_channels, codec.config.latent_rate) == (1920, 128, 25)


@pytest.mark.parametrize(
    "config",
    [small_released(), pytest.param(catalog.get("audio_codec").preset("full"), marks=pytest.mark.slow)],
    ids=["small", "full"],
)
@torch.no_grad()
def test_codec_equals_an_independent_reference_in_double_precision(config):
    codec = build(config).double()
    state, double = codec.state_dict(), {"dtype": torch.float64}
    exact = {"rtol": 1e-9, "atol": 1e-9}
    missing = config.hop_length // 3
    waveform = 0.3 * torch.randn(2, 1, 4 * config.hop_length - missing, **double)
    mean, scale = reference_moments(state, F.pad(waveform, (0, missing), "reflect"), config.encoder_rates)
    posterior = codec.posterior(waveform)
    torch.testing.assert_close(posterior.mean, mean, **exact)
    torch.testing.assert_close(posterior.scale, scale, **exact)
    latent = torch.randn(2, config.latent_channels, 4, **double)
    sound = reference_sound(state, latent, config.decoder_rates)
    assert sound.abs().max() < 0.99  # beyond, tanh hides what differs
    torch.testing.assert_close(codec.decode_raw(latent), sound, **exact)
    bits = torch.tensor([[0, 1] * 8, [1, 1, 0, 0] * 4])
    mark = reference_mark(state, sound, bits, config.watermark_rates)
    assert (mark - reference_mark(state, sound, 1 - bits, config.watermark_rates)).abs().max() > 1e-5
    torch.testing.assert_close(codec.decode_raw(latent, watermark=bits) - sound, mark, **exact)


@torch.no_grad()
def test_folded_codec_gives_the_same_sound_and_saves_with_plain_weights(tmp_path):
    codec = build(small_released())
    plain = folded(codec)
    latent, bits = torch.randn(1, 6, 4), torch.tensor([0, 1] * 8)
    assert not any(key.endswith("weight_g") for key in plain.state_dict())
    torch.testing.assert_close(plain.decode(latent, watermark=bits), codec.decode(latent, watermark=bits))
    again = loading.load(loading.save(plain, tmp_path / "plain.safetensors"))
    torch.testing.assert_close(again.decode(latent), codec.decode(latent))
    assert folded(plain) is plain


@torch.no_grad()
def test_watermark_is_small_depends_on_its_bits_and_is_off_by_default():
    codec = build(small_released())
    latent = torch.randn(1, 6, 6)
    clean = codec.decode(latent)
    torch.testing.assert_close(clean, codec.decode(latent, watermark=False), rtol=0, atol=0)
    zeros, ones = (codec.decode_raw(latent, watermark=[bit] * 16) for bit in (0, 1))
    assert (zeros - codec.decode_raw(latent)).abs().max() > 0
    assert (zeros - ones).abs().max() > 0
    assert codec.decode(latent, watermark=True).shape == clean.shape
    with pytest.raises(ShapeError, match="16 bits, each 0 or 1"):
        codec.decode(latent, watermark=[2] * 16)


def test_codec_without_a_branch_refuses_a_watermark():
    with pytest.raises(ConfigError, match="watermark=False"):
        build(LAPPED).decode(torch.randn(1, 24, 2), watermark=True)


@pytest.mark.parametrize("samples", [1, 5, 47, 48, 49, 200])
@torch.no_grad()
def test_any_length_rounds_up_and_comes_back(samples):
    codec = build(LAPPED)
    latent = codec.encode(torch.rand(2, 1, samples) - 0.5)
    assert latent.shape == (2, 24, math.ceil(samples / 48))
    assert codec.decode(latent, samples).shape == (2, 1, samples)


@pytest.mark.parametrize("shape", [(1, 2, 480), (480,), (1, 1, 0)])
def test_only_mono_batches_are_encoded(shape):
    with pytest.raises(ShapeError, match="codec is mono"):
        build(LAPPED).encode(torch.zeros(shape))


def test_more_samples_than_the_latent_holds_are_refused():
    with pytest.raises(ShapeError, match="hold 1 to 96"):
        build(LAPPED).decode(torch.randn(1, 24, 2), 97)


def test_lapped_basis_reconstructs_perfectly():
    block = 12
    basis = lapped_basis(block)
    torch.testing.assert_close(basis @ basis.T, torch.eye(block), rtol=0, atol=1e-6)
    sound = torch.randn(1, 1, 10 * block)
    coefficients = F.conv1d(sound, basis.unsqueeze(1), stride=block, padding=block // 2)
    again = F.conv_transpose1d(coefficients, basis.unsqueeze(1), stride=block, padding=block // 2)
    torch.testing.assert_close(again[..., block:-block], sound[..., block:-block], rtol=0, atol=1e-5)


def test_linear_start_codes_sounds_of_few_components_at_once():
    codec = build(LAPPED)
    time = torch.arange(960) / 48_000
    tones = torch.stack([torch.sin(2 * math.pi * f * time + f).unsqueeze(0) for f in torch.linspace(150, 2000, 40)])
    linear_start(codec, 0.3 * tones)
    with torch.no_grad():
        latent = codec.encode(0.3 * tones)
        error = (codec.decode(latent) - 0.3 * tones)[..., 48:-48]
        assert 10 * math.log10((0.3 * tones)[..., 48:-48].square().mean() / error.square().mean()) > 20
        deviation = latent[:, :6].std(dim=(0, 2))  # tones of few frequencies leave little to the others
        assert deviation.min() > 0.5
        assert deviation.max() < 2.0
    assert codec.posterior(tones).scale.mean().item() == pytest.approx(0.03, rel=0.05)


GAINED = replace(LAPPED, gains=8)


@pytest.mark.parametrize("seconds", [0.02, 0.5])
def test_codec_with_gains_codes_loud_and_quiet_sounds_alike(seconds):
    codec = build(GAINED)
    time = torch.arange(round(seconds * 48_000)) / 48_000
    tones = torch.stack([torch.sin(2 * math.pi * f * time + f).unsqueeze(0) for f in torch.linspace(150, 2000, 40)])
    linear_start(codec, 0.3 * tones)
    with torch.no_grad():
        for loudness in (0.5, 0.01):
            error = (codec.decode(codec.encode(loudness * tones)) - loudness * tones)[..., 48:-48]
            level = (loudness * tones)[..., 48:-48].square().mean()
            assert 10 * math.log10(level / error.square().mean()) > 20
        silent = torch.zeros(1, 1, len(time))
        assert codec.decode(codec.encode(silent)).abs().max() < 1e-5
    loud, quiet = (codec.encode(level * tones) for level in (0.5, 0.05))
    step = (loud - quiet)[:, -8:][quiet[:, -8:] > -2.0]
    torch.testing.assert_close(step, torch.full_like(step, math.log(10)), rtol=0, atol=0.01)


def test_gains_scale_shapes_whatever_their_own_size():
    torch.manual_seed(1)
    latent = gains.split(torch.randn(2, 24, 5), 8)
    torch.testing.assert_close(gains.join(latent, 8)[:, -8:], torch.zeros(2, 8, 5), rtol=0, atol=0)
    blurred = torch.cat([0.6 * latent[:, :16], latent[:, 16:]], dim=1)
    torch.testing.assert_close(gains.join(blurred, 8), gains.join(latent, 8), rtol=1e-5, atol=1e-6)
    quieter = torch.cat([latent[:, :16], latent[:, 16:] - math.log(2)], dim=1)
    torch.testing.assert_close(gains.join(quieter, 8), 0.5 * gains.join(latent, 8), rtol=1e-2, atol=1e-3)


def test_gains_of_silence_have_a_gradient():
    code = torch.zeros(1, 24, 3, requires_grad=True)
    gains.split(code, 8).sum().backward()
    assert torch.isfinite(code.grad).all()


@pytest.mark.parametrize("wrong", [{"gains": 7}, {"gains": 14}, {"gains": -2}, {"gains": 8, "transform": 0}])
def test_gains_that_do_not_fit_the_channels_are_refused(wrong):
    with pytest.raises(ConfigError, match="at most half of the channels for gains"):
        replace(LAPPED, **wrong)


def test_linear_start_needs_a_transform_and_something_to_hear():
    with pytest.raises(ConfigError, match="config with a transform"):
        linear_start(build(RELEASED_LIKE_PLAIN), torch.randn(2, 1, 480))
    with pytest.raises(ConfigError, match="silent"):
        linear_start(build(LAPPED), torch.zeros(2, 1, 480))


RELEASED_LIKE_PLAIN = replace(RELEASED_LIKE, watermark_rates=())


def released_file(tmp_path, codec, name="weights.pth"):
    """A checkpoint as the makers of DAC-VAE write it."""
    state = {key: value for key, value in codec.state_dict().items() if not key.startswith("latent_")}
    path = tmp_path / name
    torch.save({"state_dict": state, "metadata": {"kwargs": {"sample_rate": 48000}}}, path)
    return path


def test_released_file_is_converted_without_being_told_what_it_is(tmp_path):
    codec = build(small_released())
    target = conversion.convert(released_file(tmp_path, codec), tmp_path / "codec.safetensors")
    again = loading.load(target, network="audio_codec")
    assert again.config == codec.config
    for key, value in codec.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0)


def test_pickle_that_would_run_code_is_not_opened(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {}, "metadata": nn.Identity()}, path)
    with pytest.raises(CheckpointError, match="more than plain tensors"):
        conversion.convert(path, tmp_path / "codec.safetensors")


def test_file_of_an_unknown_layout_asks_for_its_network(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"some.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="--network and --preset"):
        conversion.convert(path, tmp_path / "codec.safetensors")


def test_sizes_are_read_from_the_shapes_of_the_full_file():
    codec = catalog.build("audio_codec", "full")
    assert recognise({key: tuple(value.shape) for key, value in codec.state_dict().items()}) == codec.config
    assert recognise({"encoder.conv.weight": (3, 3)}) is None


def test_rates_that_do_not_match_are_refused():
    with pytest.raises(ConfigError, match="same hop"):
        replace(LAPPED, decoder_rates=(5,))
