"""How much is made of the sounds of a batch, from which seeds, on every host."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.shapes import SOUND_LATENT_CHANNELS

METHODS = ("extend", "multidiffusion")
FRAMES = 100  # 4 s


def batch(known: list[slice]) -> dict[str, torch.Tensor]:
    """A LATENT of as many sounds, of each of which some frames are known."""
    mask = torch.ones(len(known), 1, FRAMES)
    for item, own in enumerate(known):
        mask[item, :, own] = 0.0
    return {"samples": torch.zeros(len(known), SOUND_LATENT_CHANNELS, FRAMES), "noise_mask": mask}


@pytest.fixture
def plan(part):
    """A plan for windows of 2 s that share 1 s."""
    module = part("sound_windows")

    def make(latent, method="extend", candidates=1, beams=1):
        windows = module.Windows(method=method, window_seconds=2.0, context_seconds=1.0, beams=beams)
        scorer = None if candidates == beams == 1 else lambda latent, conditioning: torch.zeros(len(latent))
        return module.Plan.of(latent, SOUND_LATENT_CHANNELS, windows, candidates, scorer)

    return make


@pytest.mark.parametrize(("method", "windows"), [("extend", 3), ("multidiffusion", 1)])
def test_sound_has_the_same_seed_whatever_is_known_of_those_before(plan, method, windows):
    free = [slice(0, 0)] * 3
    for known in (free, [slice(0, FRAMES), slice(0, 60), slice(0, 0)]):
        one = plan(batch(known), method)
        assert [one.seed(7, item) for item in range(3)] == [7, 7 + windows, 7 + 2 * windows]


def test_sound_taken_from_a_batch_keeps_its_seed(plan):
    one = plan({**batch([slice(0, 0)]), "batch_index": [2]})
    assert one.seed(7, 0) == plan(batch([slice(0, 0)] * 3)).seed(7, 2)
    changed = plan({**batch([slice(0, 0)] * 2), "batch_index": [2]})
    assert changed.seed(7, 1) == plan(batch([slice(0, 0)] * 2)).seed(7, 1)


@pytest.mark.parametrize("method", METHODS)
def test_sound_that_is_known_is_not_made(plan, method):
    one = plan(batch([slice(0, FRAMES), slice(0, 0)]), method)
    assert one.wanted[0] == []
    assert (one.runs(1), one.runs()) == (0, len(one.slices))


def test_candidates_and_beams_multiply_what_is_made(plan):
    latent = batch([slice(0, 0)] * 2)
    assert plan(latent, candidates=4).runs() == 2 * 3 * 4
    assert plan(latent, candidates=4, beams=2).runs(1) == 4 + 2 * (2 * 4)
    assert plan(latent, candidates=4, beams=2).seed(0, 1) == 4 + 2 * (2 * 4)


def test_what_is_known_stays_when_the_rest_is_put(plan):
    one = plan(batch([slice(0, 60)]))
    assert one.part == slice(35, FRAMES)
    made = torch.zeros(1, SOUND_LATENT_CHANNELS, FRAMES)
    one.put(made, 0, torch.ones(1, SOUND_LATENT_CHANNELS, FRAMES - 35))
    assert made[0, 0].tolist() == [0.0] * 60 + [1.0] * 40


def test_candidates_that_nobody_can_rank_are_refused(part):
    module = part("sound_windows")
    with pytest.raises(ConfigError, match="ask for 1 candidate"):
        module.Plan.of(batch([slice(0, 0)]), SOUND_LATENT_CHANNELS, module.Windows(), 2, None)


@pytest.mark.parametrize("method", METHODS)
def test_known_sound_of_a_batch_costs_no_steps(parts, method):
    model = parts.run("LongSound", parts.model, method, 2.0, 1.0)[0]
    latent, positive = batch([slice(0, FRAMES), slice(0, 0)]), parts.asked(text="rain")[0]
    made = []
    steps = parts.steps_of(lambda: made.append(parts.sampled(positive, latent, model)["samples"]))
    assert steps == 3 * (3 if method == "extend" else 1)
    assert not made[0][0].any()
    assert made[0][1].std() > 0.1
