"""Flow matching on sounds: what is dropped, what is masked."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig
from moviegen_core.train.objectives.audio import known_frames, sound_flow_matching

CONFIG = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=5, frame_dim=3)
SAMPLES = 4000


class Watcher(AudioDiT):
    """Remembers which conditions and times reached the network."""

    def forward(self, latent, time, *parts, **named):
        self.asked = time
        return super().forward(latent, time, *parts, **named)

    def prepare(self, *parts, **named):
        self.parts = parts
        return super().prepare(*parts, **named)


def make_batch(length):
    return {
        "latent": torch.randn(SAMPLES, 4, length),
        "text": torch.randn(SAMPLES, 1, 5),
        "text_mask": torch.ones(SAMPLES, 1, dtype=torch.bool),
        "frames": torch.randn(SAMPLES, length, 3),
    }


@pytest.fixture(scope="module")
def seen():
    model = Watcher(CONFIG)
    model.reset_parameters()
    report = sound_flow_matching(model, make_batch(length=20), torch.Generator().manual_seed(0))
    _, text, _, video, _, known = model.parts
    return report, text.any(dim=1), video.any(dim=1), known


def share(flags):
    return float(flags.float().mean())


def test_conditions_are_dropped_as_often_as_the_paper_says(seen):
    _, text, video, _ = seen
    assert share(~text & ~video) == pytest.approx(0.2, abs=0.02)
    assert share(~text & video) == pytest.approx(0.1, abs=0.02)
    assert share(text & ~video) == pytest.approx(0.1, abs=0.02)
    assert share(text & video) == pytest.approx(0.6, abs=0.02)


def test_sample_without_conditions_knows_no_sound_either(seen):
    _, text, video, known = seen
    assert not known[~text & ~video].any()


def test_known_sound_goes_on_without_a_word_as_often_as_asked():
    model = Watcher(CONFIG)
    model.reset_parameters()
    sound_flow_matching(model, make_batch(40), torch.Generator().manual_seed(0), known_alone=0.2)
    _, text, _, video, _, known = model.parts
    without = ~text.any(dim=1) & ~video.any(dim=1)
    assert share(without) == pytest.approx(0.4, abs=0.02)
    # Of the 20 % a tenth are masked to 97.5 % or more, which is all of 40 frames.
    assert share(without & known.any(dim=1)) == pytest.approx(0.18, abs=0.02)


def test_half_of_the_sounds_are_fully_masked_and_the_rest_to_three_quarters_at_least():
    known = known_frames(SAMPLES, 100, torch.Generator().manual_seed(1), torch.zeros(SAMPLES, dtype=torch.bool))
    some = known.any(dim=1)
    assert share(~some) == pytest.approx(0.5, abs=0.03)
    assert known.sum(dim=1).max() <= 25
    assert known.sum(dim=1)[some].float().mean() == pytest.approx(12.5, abs=1)


def test_known_sound_lies_before_after_and_around_what_is_masked():
    known = known_frames(SAMPLES, 100, torch.Generator().manual_seed(1), torch.ones(SAMPLES, dtype=torch.bool))
    some = known.any(dim=1)
    first, last = known[some, 0], known[some, -1]
    assert share(first & ~last) > 0.25
    assert share(~first & last) > 0.25
    assert share(first & last) > 0.25
    assert share(~first & ~last) == 0


def test_fresh_network_misses_the_whole_velocity(seen):
    # Data and noise of unit variance: their difference has variance 2.
    assert float(seen[0]["loss"].detach()) == pytest.approx(2.0, abs=0.05)


def test_a_share_of_the_times_lies_close_to_the_noise():
    model, batch = Watcher(CONFIG), make_batch(length=2)
    model.reset_parameters()
    for wanted, early_share in ((0.0, 0.0), (0.1, 0.2)):
        sound_flow_matching(model, batch, torch.Generator().manual_seed(0), early_share=early_share)
        assert share(model.asked < 0.05) == pytest.approx(wanted, abs=0.02)
    assert share(model.asked < 0.1) == pytest.approx(0.2, abs=0.03)


def test_step_is_repeated_by_its_generator():
    model = AudioDiT(CONFIG)
    model.reset_parameters()
    batch = {
        "latent": torch.randn(3, 4, 8), "text": torch.randn(3, 1, 5), "frames": torch.randn(3, 8, 3),
        "text_mask": torch.ones(3, 1, dtype=torch.bool),
    }  # fmt: skip
    first, again = (sound_flow_matching(model, batch, torch.Generator().manual_seed(5))["loss"] for _ in range(2))
    assert torch.equal(first, again)


def test_channel_of_weight_zero_does_not_count():
    model = AudioDiT(CONFIG)
    model.reset_parameters()
    batch = {
        "latent": torch.randn(64, 4, 8), "text": torch.randn(64, 1, 5), "frames": torch.randn(64, 8, 3),
        "text_mask": torch.ones(64, 1, dtype=torch.bool),
    }  # fmt: skip
    weights = torch.tensor([0.0, 4 / 3, 4 / 3, 4 / 3])

    def loss(latent):
        changed = {**batch, "latent": latent}
        return sound_flow_matching(model, changed, torch.Generator().manual_seed(5), weights=weights)["loss"].item()

    louder = batch["latent"].clone()
    louder[:, 0] *= 9
    assert loss(louder) == pytest.approx(loss(batch["latent"]), rel=1e-5)
    louder[:, 1] *= 9
    assert loss(louder) > 2 * loss(batch["latent"])
