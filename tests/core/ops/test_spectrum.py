"""Spectra and mel bands; the golden numbers are sums of the banks on which shipped weights were trained."""

import pytest
import torch

from moviegen_core.evaluate import onsets
from moviegen_core.models.sound_judge.model import SoundJudgeConfig, hear, mel_filters
from moviegen_core.models.sound_match import model as sound_match
from moviegen_core.ops import spectrum
from moviegen_core.train.objectives import audio_codec

JUDGE = SoundJudgeConfig(classes={"kind": ("low", "high")})
ODD = SoundJudgeConfig(classes={"kind": ("low", "high")}, bands=32, lowest_hertz=55.0)  # that no other test asks for


@pytest.mark.parametrize(
    ("bank", "shape", "total", "moment", "precision"),
    [
        (lambda: mel_filters(JUDGE), (64, 2049), 664.170867758, 11913586.20625, 1e-10),
        (lambda: audio_codec.mel_bank(2048, 128), (128, 1025), 128.000000012, 3274485.05796, 1e-10),
        (lambda: audio_codec.mel_bank(512, 64), (64, 257), 64.000000172, 205501.824232, 1e-10),
        (lambda: audio_codec.mel_bank(128, 16), (16, 65), 16.0000000647, 3280.79380126, 1e-10),
        (lambda: sound_match._filters(40), (40, 961), 612.176168, 6536857.33, 1e-7),  # made in single precision
        (onsets._bands, (40, 513), 77.602946550, 176374.346373, 1e-10),
    ],
    ids=["judge", "codec 2048", "codec 512", "codec 128", "match", "onsets"],
)
def test_bands_are_those_that_shipped_weights_know(bank, shape, total, moment, precision):
    held = bank().double()
    places = torch.outer(torch.arange(1.0, shape[0] + 1).double(), torch.arange(1.0, shape[1] + 1).double())
    assert (held.shape, bank().dtype) == (shape, torch.float32)
    assert float(held.sum()) == pytest.approx(total, rel=precision)
    assert float((held * places).sum()) == pytest.approx(moment, rel=precision)


@pytest.mark.parametrize(
    "listen",
    [
        lambda sound: hear(sound, ODD),
        lambda sound: sound_match.sound_bands(sound[:, 0], 11),
        lambda sound: audio_codec.spectral_distances(sound, sound.detach().flip(2), (256,))[2],
    ],
    ids=["judge", "match", "codec"],
)
def test_bands_first_heard_in_inference_serve_training(listen):
    sound = torch.randn(1, 1, 9600)
    with torch.inference_mode():
        listen(sound)
    listen(sound.requires_grad_()).sum().backward()
    assert sound.grad.abs().sum() > 0


def test_mel_and_hertz_undo_each_other():
    frequencies = torch.tensor([0.0, 40.0, 1000.0, 24_000.0], dtype=torch.float64)
    torch.testing.assert_close(spectrum.hertz(spectrum.mel(frequencies)), frequencies)
    assert float(spectrum.mel(frequencies)[2]) == pytest.approx(1000.0, abs=0.1)  # where the scale is fixed


def test_no_band_falls_between_two_lines():
    edges, lines = spectrum.mel_edges(60.0, 400.0, 42), torch.arange(0.0, 500.0, 50.0, dtype=torch.float64)
    assert spectrum.triangles(edges, lines).sum(dim=1).min() == 0.0
    assert spectrum.triangles(edges, lines, 50.0).sum(dim=1).min() > 0.0
