"""Batches follow from their position; an epoch holds every sample once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.train.data import Bucketed, Buckets, Collated, Mixture, position_seed, roughened, seeded, stream

SIZES = [(4, 8, 8)] * 23 + [(1, 8, 8)] * 50 + [(8, 16, 16)] * 7


def test_every_sample_comes_once_an_epoch():
    buckets = Buckets(SIZES, tokens_per_batch=1024, seed=5)
    for epoch in range(3):
        first = epoch * buckets.batches_per_epoch
        seen = [i for p in range(first, first + buckets.batches_per_epoch) for i in buckets.indices(p)]
        assert sorted(seen) == list(range(len(SIZES)))


def test_batches_hold_one_size_and_keep_to_the_token_budget():
    buckets = Buckets(SIZES, tokens_per_batch=1024)
    for position in range(buckets.batches_per_epoch):
        indices = buckets.indices(position)
        (size,) = {SIZES[index] for index in indices}
        assert len(indices) == 1 or len(indices) * np.prod(size) <= 1024


def test_batches_are_as_full_as_the_token_budget_allows():
    buckets = Buckets(SIZES, tokens_per_batch=1024)
    found = [buckets.indices(position) for position in range(buckets.batches_per_epoch)]
    assert sorted(map(len, found)) == sorted([*[4] * 5, 3, *[16] * 3, 2, *[1] * 7])


def test_order_is_the_same_again_and_differs_between_epochs_and_seeds():
    def orders(seed, epoch):
        buckets = Buckets(SIZES, 1024, seed)
        return [buckets.indices(epoch * buckets.batches_per_epoch + p) for p in range(buckets.batches_per_epoch)]

    assert orders(1, 0) == orders(1, 0)
    assert orders(1, 0) != orders(1, 1)
    assert orders(1, 0) != orders(2, 0)


def test_samples_of_one_batch_draw_for_themselves():
    source = Bucketed(lambda index, rng: {"x": torch.tensor(rng.random())}, [(1, 1, 1)] * 8, 8, seed=9)
    assert len(set(source.batch(0)["x"].tolist())) == 8


def test_positions_may_be_asked_in_any_order():
    source = Bucketed(lambda index, rng: {"x": torch.tensor([index, rng.random()])}, SIZES, 1024, seed=9)
    forward = [source.batch(position)["x"] for position in range(200)]
    backward = [source.batch(position)["x"] for position in reversed(range(200))]
    assert all(torch.equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))


class Counting:
    """A source whose batches tell its name and their position."""

    def __init__(self, name):
        self.name = name

    def batch(self, position):
        return {"from": torch.tensor([self.name, position])}


def test_mixture_keeps_its_weights_and_skips_no_batch_of_a_source():
    mixture = Mixture([Counting(0), Counting(1)], [1, 10])
    drawn = [tuple(mixture.batch(position)["from"].tolist()) for position in range(44)]
    assert [position for name, position in drawn if name == 0] == list(range(4))
    assert [position for name, position in drawn if name == 1] == list(range(40))


def test_batches_of_a_mixture_are_spread_evenly_over_a_round():
    def order(weights):
        mixture = Mixture([Counting(0), Counting(1)], weights)
        return [int(mixture.batch(position)["from"][0]) for position in range(sum(weights))]

    assert order([3, 3]) == [0, 1, 0, 1, 0, 1]
    assert order([1, 4]) == [1, 1, 0, 1, 1]


def test_empty_data_set_is_refused():
    with pytest.raises(ConfigError, match="fill the cache"):
        Buckets([], 100)


@pytest.mark.parametrize("workers", [0, 2])
def test_stream_gives_positions_in_order(workers):
    source = Collated(lambda rng: {"x": torch.tensor(rng.random())}, 3, seed=2)
    found = [(position, batch["x"]) for position, batch in stream(source, range(4, 9), workers)]
    assert [position for position, _ in found] == [4, 5, 6, 7, 8]
    assert all(torch.equal(values, source.batch(position)["x"]) for position, values in found)


def test_streaming_leaves_the_global_generator_alone():
    source = Collated(lambda rng: {"x": torch.tensor(rng.random())}, 3, seed=2)
    before = torch.get_rng_state()
    list(stream(source, range(2), workers=1))
    assert torch.equal(before, torch.get_rng_state())


def test_batches_are_pinned_where_it_is_asked_for_alone(monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    source = Collated(lambda rng: {"x": torch.tensor(rng.random())}, 3, seed=2)
    list(stream(source, range(2)))
    assert not pinned
    (batch,) = (batch for _, batch in stream(source, [4], pinned=True))
    assert [tensor is batch["x"] for tensor in pinned] == [True]


def test_position_seeds_do_not_collide():
    assert len({position_seed(a, b) for a in range(50) for b in range(50)}) == 2500


def test_roughened_latents_have_noise_of_up_to_the_deviation_asked_for():
    latent = torch.zeros(40, 100, 100)
    made = roughened(latent, 0.4, seeded(7))
    deviations = made.flatten(1).std(dim=1)
    assert deviations.max() < 0.41
    assert deviations.min() < 0.1
    assert deviations.mean() == pytest.approx(0.2, abs=0.06)
    assert torch.equal(made, roughened(latent, 0.4, seeded(7)))
    assert not torch.equal(made, roughened(latent, 0.4, seeded(8)))
    assert torch.equal(roughened(latent, 0.0, seeded(7)), latent)
