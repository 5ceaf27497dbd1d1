import pytest
import torch

from moviegen_core.models.text.presets import NANO_BYT5
from moviegen_core.train.objectives.language import (
    BYT5_DENOISERS,
    UL2_DENOISERS,
    byte_denoising_loss,
    corrupt,
    denoising_loss,
    denoising_model,
    encoder_of,
)
from moviegen_core.train.texts import pad

VOCABULARY = 384


def restored(inputs: list[int], targets: list[int]) -> list[int]:
    """Put the spans of `targets` back where their sentinels stand in `inputs`."""
    spans: dict[int, list[int]] = {}
    sentinel = 0
    for token in targets:
        if token >= VOCABULARY - 32:
            sentinel = token
            spans[sentinel] = []
        else:
            spans[sentinel].append(token)
    return [token for place in inputs for token in spans.get(place, [place])]


@pytest.mark.parametrize("denoiser", [*UL2_DENOISERS, *BYT5_DENOISERS[:2]])
def test_the_removed_spans_put_back_give_the_text(denoiser):
    generator = torch.Generator().manual_seed(0)
    for length in range(1, 80):
        text = list(range(10, 10 + length))
        inputs, targets = corrupt(text, denoiser, VOCABULARY, generator)
        assert restored(inputs, targets) == text
        removed = len([token for token in targets if token < VOCABULARY - 32])
        if denoiser.span is not None:
            assert removed == max(1, round(length * denoiser.rate))
        assert removed >= 1


def test_the_copying_denoiser_changes_nothing():
    assert corrupt([5, 6], BYT5_DENOISERS[2], VOCABULARY, torch.Generator()) == ([5, 6], [5, 6])


def test_a_few_steps_on_one_batch_lower_the_loss_and_the_encoder_is_kept():
    torch.manual_seed(0)
    model = denoising_model(NANO_BYT5)
    batch = pad([[*(byte + 3 for byte in text.encode()), 1] for text in ("HELLO", "OPEN 24", "no")])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for step in range(12):
        report = byte_denoising_loss(model, batch, torch.Generator().manual_seed(step))
        report["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(report["loss"].item())
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    encoder = encoder_of(model, NANO_BYT5).eval()
    with torch.no_grad():
        expected = model.eval().encoder(batch["ids"], attention_mask=batch["mask"].long()).last_hidden_state
        found = encoder(batch["ids"], attention_mask=batch["mask"].long()).last_hidden_state
    torch.testing.assert_close(found, expected)


def test_padding_does_not_change_the_loss():
    torch.manual_seed(0)
    model = denoising_model(NANO_BYT5).eval()
    batch = pad([[5, 6, 7, 8, 9, 1]])
    wide = {name: torch.nn.functional.pad(value, (0, 7)) for name, value in batch.items()}
    losses = [denoising_loss(model, rows, torch.Generator().manual_seed(1))["loss"] for rows in (batch, wide)]
    torch.testing.assert_close(*losses)
