import pytest
import torch

from moviegen_core.errors import ShapeError
from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_codec.model import AudioCodecConfig
from moviegen_core.pipelines.sound_codec import decode_pieces, decode_sound, encode_sound, from_mid_side, to_mid_side
from moviegen_core.pipelines.sound_parts import load_codec

LAPPED = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(4,), latent_dim=12, latent_channels=8, decoder_dim=16, decoder_rates=(4,),
    watermark_rates=(), weight_norm=False, transform=12,
)  # fmt: skip
ON_SAMPLES = AudioCodecConfig(
    encoder_dim=4, encoder_rates=(4, 12), latent_dim=12, latent_channels=8, decoder_dim=16, decoder_rates=(12, 4),
    watermark_rates=(),
)  # fmt: skip
FRAMES_A_SECOND = 1000  # both have a hop of 48 samples


def build(config):
    torch.manual_seed(0)
    codec = catalog.build("audio_codec", config, device="cpu").eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return codec


@pytest.mark.parametrize("config", [LAPPED, ON_SAMPLES], ids=["lapped", "samples"])
@pytest.mark.parametrize("samples", [48 * 100, 48 * 100 - 1, 48 * 99 + 1, 48 * 31])
def test_chunks_have_no_seam(config, samples):
    codec = build(config)
    sound = torch.rand(1, 1, samples) - 0.5
    chunk = 31 / FRAMES_A_SECOND
    whole, pieces = encode_sound(codec, sound), encode_sound(codec, sound, chunk_seconds=chunk)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)
    made, joined = decode_sound(codec, whole, samples), decode_sound(codec, whole, samples, chunk_seconds=chunk)
    error = (made - joined).square().mean().clamp_min(1e-20)
    assert 10 * torch.log10(made.square().mean() / error) > 60
    assert joined.shape == sound.shape


@pytest.mark.parametrize("config", [LAPPED, ON_SAMPLES], ids=["lapped", "samples"])
def test_context_of_a_chunk_is_as_far_as_anything_reaches(config):
    codec, latent = build(config), torch.randn(1, 8, 81)
    touched = latent.clone()
    touched[:, :, 40] += 1.0
    changed = (codec.decode(touched) - codec.decode(latent)).abs()[0, 0].detach().nonzero().flatten()
    context = config.context_frames
    assert changed.min() >= (40 - context) * 48
    assert changed.max() < (41 + context) * 48
    sound = torch.rand(1, 1, 48 * 81) - 0.5
    other = sound.clone()
    other[:, :, 48 * 40 : 48 * 41] *= -1
    moved = (codec.encode(other) - codec.encode(sound)).abs().sum(dim=1)[0].detach().nonzero().flatten()
    assert moved.min() >= 40 - context
    assert moved.max() <= 40 + context


def test_pieces_are_bounded_and_end_with_the_last_sample():
    codec = build(LAPPED)
    pieces = list(decode_pieces(codec, torch.randn(2, 8, 100), 48 * 70 + 5, channels=2, chunk_seconds=0.03))
    assert max(piece.shape[2] for piece in pieces) <= 48 * 30
    assert sum(piece.shape[2] for piece in pieces) == 48 * 70 + 5
    assert all(piece.shape[:2] == (1, 2) for piece in pieces)


def test_mid_and_side_come_back_as_left_and_right():
    stereo = torch.rand(3, 2, 100) - 0.5
    halves = to_mid_side(stereo)
    assert halves.shape == (6, 1, 100)
    torch.testing.assert_close(halves[:3, 0], stereo.mean(dim=1))
    torch.testing.assert_close(from_mid_side(halves, 2), stereo)


def test_stereo_of_equal_channels_stays_centred():
    codec = build(LAPPED)
    mono = torch.rand(1, 1, 480) - 0.5
    latent = encode_sound(codec, mono.expand(-1, 2, -1))
    torch.testing.assert_close(latent[:1], encode_sound(codec, mono))
    silent_side = torch.cat((latent[:1], encode_sound(codec, torch.zeros_like(mono))))
    torch.testing.assert_close(latent, silent_side)


@pytest.mark.parametrize("shape", [(1, 3, 100), (2, 100), (1, 1, 0)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(ShapeError, match=r"give|codec takes"):
        encode_sound(build(LAPPED), torch.zeros(shape))


def test_odd_number_of_latents_is_no_stereo():
    with pytest.raises(ShapeError, match="as many sides as mids"):
        decode_sound(build(LAPPED), torch.randn(3, 8, 4), channels=2)


def test_latents_may_be_trained_on():
    codec = build(LAPPED)
    latent = encode_sound(codec, torch.rand(1, 1, 960) - 0.5)
    weight = torch.nn.Parameter(torch.ones(1))
    (weight * latent).sum().backward()
    assert weight.grad is not None


def test_weight_norm_is_folded_once_when_a_codec_is_loaded_for_use(tmp_path):
    normed = build(ON_SAMPLES)
    codec = load_codec(loading.save(normed, tmp_path / "audio_codec" / "model.safetensors").parent)
    assert not codec.config.weight_norm
    latent = torch.randn(1, 8, 6)
    with torch.no_grad():
        torch.testing.assert_close(codec.decode(latent), normed.decode(latent))
