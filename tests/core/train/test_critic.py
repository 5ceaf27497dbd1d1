import torch

from moviegen_core.train.critic import LatentCritic, critic_loss
from moviegen_core.train.hints import ANSWERS, UNTOLD


def make_critic():
    torch.manual_seed(0)
    return LatentCritic().requires_grad_(False)


def test_it_answers_for_every_token_of_a_clip():
    answers = make_critic()(torch.randn(2, 16, 3, 6, 4))
    assert answers.shape == (2, 3 * 3 * 2, ANSWERS)


def test_a_latent_is_like_itself_and_less_so_the_more_is_added():
    critic, latent = make_critic(), torch.randn(2, 16, 2, 4, 4)
    weights, change = torch.ones(2, 2, 4, 4), torch.randn(2, 16, 2, 4, 4)
    same, near, far = (critic.distance(latent + size * change, latent, weights) for size in (0.0, 0.1, 1.0))
    assert torch.equal(same, torch.zeros(2))
    assert bool((near > 0).all())
    assert bool((near < far).all())


def test_places_without_weight_do_not_count():
    critic, latent = make_critic(), torch.randn(1, 16, 1, 16, 16)
    weights = torch.zeros(1, 1, 16, 16)
    weights[..., :2, :2] = 1.0
    changed = latent.clone()
    changed[..., 14:, 14:] += 3.0
    # Norms see the whole picture, so that what is far changes a little of all.
    there = critic.distance(changed, latent, weights.flip(3).flip(2))
    assert float(critic.distance(changed, latent, weights)) < 0.1 * float(there)


def test_it_learns_to_tell_one_thing_from_another():
    critic = make_critic().requires_grad_(True)
    cells = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
    cells[:4, :, :2, :2], cells[4:, :, :2, :2] = 1, 2
    latent = torch.randn(8, 16, 1, 4, 4)
    latent[:4, 0, :, :2, :2] += 4.0
    latent[4:, 1, :, :2, :2] += 4.0
    batch = {"latent": latent, "cells": cells, "move": torch.full((8,), UNTOLD), "camera": torch.full((8,), UNTOLD)}
    optimiser, generator = torch.optim.AdamW(critic.parameters(), lr=2e-3), torch.Generator().manual_seed(0)
    for _ in range(25):
        report = critic_loss(critic, batch, generator)
        optimiser.zero_grad()
        report["loss"].backward()
        optimiser.step()
    assert float(report["things"]) > 0.9
