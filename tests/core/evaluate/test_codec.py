import math

import pytest
import torch

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.evaluate import codec as bench
from moviegen_core.evaluate.sound_metrics import si_sdr, spectral_distance
from moviegen_core.models import catalog
from moviegen_core.models.audio_codec.start import linear_start


def test_si_sdr_ignores_loudness_and_counts_noise():
    torch.manual_seed(0)
    sound, noise = torch.randn(1, 96_000), torch.randn(1, 96_000)
    assert si_sdr(0.3 * sound, sound) > 100
    assert si_sdr(sound + 0.1 * noise, sound) == pytest.approx(20.0, abs=0.1)
    assert si_sdr(0 * sound, sound) == -math.inf
    with pytest.raises(ShapeError, match="must be alike"):
        si_sdr(sound, sound[:, 1:])


def test_spectral_distance_counts_the_share_that_is_missing():
    sound = torch.randn(1, 9600)
    convergence, decibels = spectral_distance(0.9 * sound, sound, (512, 256))
    assert convergence == pytest.approx(0.1, abs=1e-4)
    assert decibels == pytest.approx(-20 * math.log10(0.9), abs=1e-3)
    with pytest.raises(ShapeError, match="at least 512 samples"):
        spectral_distance(sound[:, :100], sound[:, :100], (512,))


def test_held_out_sounds_are_heard_and_repeatable():
    sounds = [bench.real_sound(number, 0.5) for number in (0, 1, 1)]
    assert all(sound.square().mean().sqrt() > bench.QUIETEST for sound in sounds)
    assert torch.equal(sounds[1], sounds[2])
    assert not torch.equal(sounds[0], sounds[1])


@torch.no_grad()
def test_bench_reports_a_linear_codec_beside_the_low_band():
    torch.manual_seed(0)
    codec = catalog.build("audio_codec", {**SMALL}, device="cpu").eval()
    linear_start(codec, torch.cat([bench.real_sound(number, 0.5) for number in range(6)]))
    report = bench.measure(codec, 2, 0.5, lambda *_: None)
    assert report["codec"]["SI-SDR (dB)"] > 12
    assert 0 < report["codec"]["spectral convergence"] < 0.3
    assert report["low band"]["SI-SDR (dB)"] > 12
    assert bench.chunked_snr(codec, 0) > 60
    assert "SI-SDR" in bench.as_markdown({**report, "stereo SI-SDR (dB)": 1.0, "chunked against whole (dB)": 2.0})


SMALL = {
    "encoder_dim": 4, "encoder_rates": (4,), "latent_dim": 8, "latent_channels": 64, "decoder_dim": 8,
    "decoder_rates": (4,), "watermark_rates": (), "weight_norm": False, "transform": 240,
}  # fmt: skip


def test_no_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        bench.evaluate(tmp_path, clips=0)
