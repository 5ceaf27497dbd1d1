import math

import pytest
import torch

from moviegen_core.models import catalog
from moviegen_core.models.audio_codec.model import AudioCodecConfig
from moviegen_core.train.objectives.audio_codec import AudioCodecLoss, magnitudes, mel_bank, spectral_distances
from moviegen_core.train.objectives.sound_discriminator import SoundAdversary, SoundDiscriminator

LAPPED = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(4,), latent_dim=12, latent_channels=24, decoder_dim=16, decoder_rates=(4,),
    watermark_rates=(), weight_norm=False, transform=12,
)  # fmt: skip


def tone(frequency=440.0, samples=4800, level=0.4):
    return level * torch.sin(2 * math.pi * frequency * torch.arange(samples) / 48_000).view(1, 1, -1)


def small_discriminator():
    return SoundDiscriminator(periods=(2, 3), windows=(256,), channels=4)


def test_equal_sounds_have_no_spectral_distance():
    assert [part.item() for part in spectral_distances(tone(), tone())] == [0.0, 0.0, 0.0]


def test_distances_grow_with_the_error():
    near, far = (spectral_distances(tone() * gain, tone()) for gain in (0.9, 0.5))
    assert near[0].item() == pytest.approx(0.1, abs=0.02)
    assert all(b > a for a, b in zip(near, far, strict=True))


def test_full_scale_sine_has_magnitude_one_half():
    assert magnitudes(tone(3000, level=1.0), 512)[0, :, 5].max().item() == pytest.approx(0.5, abs=0.01)


def test_every_mel_band_hears_something():
    for window, bands in ((2048, 128), (512, 64), (128, 16)):
        bank = mel_bank(window, bands)
        assert bank.shape == (bands, window // 2 + 1)
        torch.testing.assert_close(bank.sum(dim=1), torch.ones(bands))


def test_silence_has_a_finite_loss_and_gradient():
    codec = catalog.build("audio_codec", LAPPED, device="cpu").train()
    report = AudioCodecLoss()(codec, {"waveform": torch.zeros(1, 1, 4800)}, torch.Generator().manual_seed(0))
    report["loss"].backward()
    assert torch.isfinite(report["loss"])
    assert all(torch.isfinite(value.grad).all() for value in codec.parameters() if value.grad is not None)


def test_a_few_steps_lower_the_loss():
    torch.manual_seed(0)
    codec = catalog.build("audio_codec", LAPPED, device="cpu").train()
    batch = {"waveform": torch.cat([tone(f) for f in (200.0, 500.0, 900.0)])}
    optimizer = torch.optim.Adam(codec.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        report = AudioCodecLoss(windows=(512, 128))(codec, batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        report["loss"].backward()
        optimizer.step()
        losses.append(report["loss"].item())
    assert losses[-1] < 0.8 * losses[0]


def test_discriminators_learn_to_tell_noise_from_tones():
    torch.manual_seed(0)
    adversary = SoundAdversary(small_discriminator(), learning_rate=3e-3)
    real, made = torch.cat([tone(300), tone(700)]), 0.3 * torch.randn(2, 1, 4800)
    first = adversary(made, real)[1]["discriminator"]
    for _ in range(20):
        told = adversary(made, real)[1]
    assert told["discriminator"] < 0.7 * first


def test_adversary_pulls_on_the_codec_only_and_comes_back_from_its_state():
    torch.manual_seed(0)
    adversary = SoundAdversary(small_discriminator())
    made = (0.3 * torch.randn(1, 1, 4800)).requires_grad_()
    loss, told = adversary(made, tone())
    loss.backward()
    assert made.grad.abs().sum() > 0
    assert told["matching"] > 0
    other = SoundAdversary(small_discriminator())
    other.load_state_dict(adversary.state_dict())
    for mine, theirs in zip(other.discriminator.parameters(), adversary.discriminator.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert other.optimizer.state_dict()["state"]


def test_sound_that_is_not_finite_teaches_the_discriminators_nothing():
    adversary = SoundAdversary(small_discriminator())
    before = [parameter.clone() for parameter in adversary.discriminator.parameters()]
    adversary(torch.full((1, 1, 4800), float("nan")), tone())
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.discriminator.parameters(), strict=True))


def test_equal_sounds_match_in_every_feature():
    adversary = SoundAdversary(small_discriminator())
    assert adversary(tone(), tone())[1]["matching"].item() == 0.0


def test_spectra_of_a_codec_in_half_precision_are_taken_in_full(monkeypatch):
    """The FFT of a GPU knows no bfloat16, in which autocast leaves a waveform."""
    asked, stft = [], torch.stft

    def spied(waveform, *args, **options):
        asked.append(waveform.dtype)
        return stft(waveform, *args, **options)

    monkeypatch.setattr(torch, "stft", spied)
    codec = catalog.build("audio_codec", LAPPED, device="cpu").train()
    loss = AudioCodecLoss(adversary=SoundAdversary(small_discriminator()))
    with torch.autocast("cpu", torch.bfloat16):
        loss(codec, {"waveform": tone()}, torch.Generator().manual_seed(0))["loss"].backward()
    assert asked
    assert set(asked) == {torch.float32}
