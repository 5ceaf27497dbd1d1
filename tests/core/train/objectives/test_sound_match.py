"""The contrastive objective of the sound match."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.models import catalog
from moviegen_core.train.objectives.sound_match import onsets, sound_match_loss
from moviegen_core.train.pupil import MatchPupil


def flashes(size=6, moments=100):
    """Pictures that flash at moments at which a band is struck, and a text that names the band."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.full((size, moments, 3, 8, 8), -1.0)
    bands = torch.full((size, moments, 40), -2.0)
    for row in range(size):
        at = torch.randperm(moments, generator=generator)[:6]
        pictures[row, at] = 1.0
        bands[row, at, 6 * row : 6 * row + 4] = 2.0
    text = torch.nn.functional.one_hot(torch.arange(size), 192).float()[:, None] * 10
    return {
        "pictures": pictures, "clock": torch.eye(moments).expand(size, -1, -1), "bands": bands, "text": text,
        "effects": bands, "hits": bands.amax(dim=2) > 0, "text_mask": torch.ones(size, 1, dtype=torch.bool),
    }  # fmt: skip


def test_match_learns_which_flash_sounds_when_and_what_it_is_called():
    torch.manual_seed(0)
    match = MatchPupil.of(catalog.build("sound_match", {"image_size": 8}, device="cpu"))
    optimizer = torch.optim.AdamW(match.parameters(), lr=3e-3)
    batch = flashes()
    for step in range(40):
        report = sound_match_loss(match, batch, torch.Generator().manual_seed(step))
        report["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(report["timing"]) > 0.9
    assert float(report["text_accuracy"]) == 1.0
    assert float(report["foretold"]) < 0.9
    assert float(report["hits"]) > 0.9


def test_match_may_be_taught_without_sounds_of_which_music_is_taken():
    match = MatchPupil.of(catalog.build("sound_match", {"image_size": 8}, device="cpu"))
    batch = flashes()
    del batch["effects"]
    report = sound_match_loss(match, batch, torch.Generator().manual_seed(0), foretell_weight=0.0)
    assert "foretold" not in report
    report["loss"].backward()
    assert match.foretell.weight.grad is None
    # The question begins silent: its answers are taught before the features are.
    assert match.teller.weight.grad.abs().max() > 0


def test_onset_is_where_a_band_grows_loud():
    bands = torch.full((1, 5, 4), -2.0)
    bands[0, 2:, :2] = 1.0
    found = onsets(bands, 2)
    assert found.shape == (1, 5, 4)
    assert found[0, :, 2].tolist() == [0, 0, pytest.approx(3.0), 0, 0]
    assert found[0, :, 3].abs().max() == 0
