import pytest
import torch

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.pipelines.sample import sample_video
from moviegen_core.shapes import LatentShape
from moviegen_core.train.critic import LatentCritic
from moviegen_core.train.hints import UNTOLD
from moviegen_core.train.objectives.video import flow_matching, subject_weights
from moviegen_core.train.pupil import VideoPupil

CONFIG = VideoDiTConfig(
    dim=96, num_heads=2, num_layers=1, mlp_dim=128, context_dims={"ul2": 8}, max_grid=(2, 2, 2), qk_norm=True
)


def make_batch(size=8):
    generator = torch.Generator().manual_seed(0)
    return {
        "latent": torch.randn(size, 16, 1, 4, 4, generator=generator),
        "context.ul2": torch.randn(size, 3, 8, generator=generator),
        "context_mask.ul2": torch.ones(size, 3, dtype=torch.bool),
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return catalog.build("video_dit", CONFIG, device="cpu")


def test_fresh_network_has_the_loss_of_predicting_nothing(model):
    losses = flow_matching(model, make_batch(64), torch.Generator().manual_seed(7))
    # The target is data minus noise, both of unit variance.
    assert float(losses["loss"].detach()) == pytest.approx(2.0, rel=0.1)
    assert set(losses) == {"loss", "loss_0", "loss_1", "loss_2", "loss_3"}


def test_same_generator_gives_the_same_loss_and_gradients(model):
    results = []
    for _ in range(2):
        model.zero_grad()
        loss = flow_matching(model, make_batch(), torch.Generator().manual_seed(3))["loss"]
        loss.backward()
        results.append((loss.detach(), model.patch_out.weight.grad.clone()))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_a_channel_without_weight_teaches_nothing(model):
    weight = torch.zeros(16)
    weight[3] = 16.0
    batch = make_batch()
    losses = []
    for change in (0.0, 5.0):
        batch["latent"][:, 7] += change
        # A fresh network predicts nothing, so the target alone makes the loss.
        losses.append(flow_matching(model, batch, torch.Generator().manual_seed(3), channel_weight=weight)["loss"])
    assert torch.equal(*losses)
    batch["latent"][:, 3] += 5.0
    more = flow_matching(model, batch, torch.Generator().manual_seed(3), channel_weight=weight)["loss"]
    assert more > 5 * losses[0]


def test_cells_of_the_subject_count_more_once_its_place_is_told():
    cells = torch.zeros(3, 1, 2, 4, dtype=torch.uint8)
    cells[:, 0, 0, :2] = 5
    early, between, late = subject_weights(cells, torch.tensor([0.1, 0.35, 0.9]), 4.0)
    assert torch.equal(early, torch.ones(1, 2, 4))
    for weights, ratio in ((between, 2.5), (late, 4.0)):
        assert torch.allclose(weights[cells[0] > 0] / weights[0, 1, 0], torch.tensor(ratio))
        assert float(weights.mean()) == pytest.approx(1.0)


def test_an_error_in_the_subject_costs_more(model):
    batch = {**make_batch(), "cells": torch.zeros(8, 1, 4, 4, dtype=torch.uint8)}
    batch["cells"][..., :2] = 1

    def loss(weight):
        # A fresh network predicts nothing; far from the noise the subject's place is told.
        options = {"time_mean": 6.0, "subject_weight": weight}
        return float(flow_matching(model, batch, torch.Generator().manual_seed(3), **options)["loss"].detach())

    even = loss(1.0)
    batch["latent"][..., 2:] *= 3.0
    beside = loss(3.0) - even
    batch["latent"][..., 2:] /= 3.0
    batch["latent"][..., :2] *= 3.0
    assert loss(3.0) - even > 2 * beside > 0


def test_hints_are_told_beside_the_flow_and_things_where_any_are_seen(model):
    pupil = VideoPupil.of(model, {})
    told = torch.full((8,), UNTOLD)
    batch = {**make_batch(), "cells": torch.zeros(8, 1, 4, 4, dtype=torch.uint8), "move": told, "camera": told}
    without = flow_matching(pupil, batch, torch.Generator().manual_seed(3), hint_weight=0.2)
    batch["cells"][0, 0, 0, 0] = 5
    seen = flow_matching(pupil, batch, torch.Generator().manual_seed(3), hint_weight=0.2)
    assert seen.keys() - without.keys() == {"things"}
    assert {"flow", "hints"} < without.keys()
    assert [name for name, value in seen.items() if value.requires_grad] == ["loss"]


def test_what_is_not_shown_teaches_nothing(model):
    pupil = VideoPupil.of(model, {})
    batch = {**make_batch(), "cells": torch.zeros(8, 1, 4, 4, dtype=torch.uint8), "shown": torch.tensor([[0, 3]] * 8)}
    losses = []
    for change in (0.0, 5.0):
        batch["latent"][..., :2, 2:] += change
        losses.append(flow_matching(pupil, batch, torch.Generator().manual_seed(3)))
    assert torch.equal(losses[0]["loss"], losses[1]["loss"])
    # At times before 0.3 that the subject is among the tokens would tell more than the noise does.
    assert "loss_0" not in losses[0]
    batch["latent"][..., 2:, 2:] += 5.0
    assert flow_matching(pupil, batch, torch.Generator().manual_seed(3))["loss"] > 2 * losses[0]["loss"]


def test_what_looks_unlike_to_the_critic_costs_more_once_the_place_is_told(model):
    torch.manual_seed(1)
    critic, batch = LatentCritic().requires_grad_(False), make_batch()

    def losses(time_mean, **options):
        return flow_matching(model, batch, torch.Generator().manual_seed(3), time_mean=time_mean, **options)

    for mean, costs in ((-8.0, False), (0.0, True)):
        without, beside = losses(mean), losses(mean, critic=critic, critic_weight=0.5)
        assert (float(beside["unlike"]) > 0) is costs
        assert torch.allclose(beside["loss"], without["loss"] + 0.5 * beside["unlike"])


def test_the_critic_does_not_judge_what_is_not_shown(model):
    torch.manual_seed(1)
    critic, pupil = LatentCritic().requires_grad_(False), VideoPupil.of(model, {})
    batch = {**make_batch(), "cells": torch.zeros(8, 1, 4, 4, dtype=torch.uint8)}

    def unlike(*shown):
        batch["shown"] = torch.tensor([shown] * 8)
        return float(flow_matching(pupil, batch, torch.Generator().manual_seed(3), critic=critic)["unlike"])

    # A fresh network predicts nothing; where less is asked of it, less is unlike what was there.
    assert 0 < unlike(0, 3) < unlike(0, 1, 2, 3)


def test_mean_of_the_times_moves_them_towards_the_noise(model):
    losses = flow_matching(model, make_batch(), torch.Generator().manual_seed(3), time_mean=-6.0)
    assert set(losses) == {"loss", "loss_0"}


def test_samples_that_read_nothing_train_the_null_token_only(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.1)
    batch = make_batch()
    batch["context_mask.ul2"][:] = False
    flow_matching(model, batch, torch.Generator().manual_seed(0))["loss"].backward()
    assert float(model.null_token.weight.grad.abs().max()) > 0
    weight = model.context_in["ul2"][0].weight
    assert weight.grad is None or float(weight.grad.abs().max()) == 0


def test_features_without_mask_are_refused(model):
    batch = make_batch()
    del batch["context_mask.ul2"]
    with pytest.raises(ConfigError, match="both for each encoder"):
        flow_matching(model, batch, torch.Generator())


def test_a_few_latents_can_be_learned_and_sampled_by_their_context(model):
    batch = make_batch(2)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    batch["latent"] = batch["latent"][..., :1, :1].expand(-1, -1, -1, 4, 4)
    batch = {key: value.repeat(8, *[1] * (value.ndim - 1)) for key, value in batch.items()}
    for _ in range(100):
        optimiser.zero_grad()
        flow_matching(model, batch, generator)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    condition = Conditioning({"ul2": batch["context.ul2"][:2]}, {"ul2": batch["context_mask.ul2"][:2]})
    clips = sample_video(model.eval(), condition, LatentShape(2, 16, 1, 4, 4), seed=1, steps=10, guidance_scale=1.0)
    distances = torch.cdist(clips.flatten(1), batch["latent"][:2].flatten(1))
    assert distances.argmin(1).tolist() == [0, 1]
    assert float((clips - batch["latent"][:2]).square().mean()) < 0.5
