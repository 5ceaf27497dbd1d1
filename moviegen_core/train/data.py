"""Batches by position: a source gives the same batch for the same (seed, position), in any process, at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..errors import ConfigError
from .background import give_way

Batch = dict[str, Tensor]
Objective = Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]]  # (module, batch, draws) -> scalars
Size = tuple[int, int, int]  # frames, rows, columns


class Source(Protocol):
    """Endless batches, each found by its position alone."""

    def batch(self, position: int) -> Batch:
        """Tensors with the batch as first axis."""
        ...


def position_seed(*numbers: int) -> int:
    """One well-mixed 63-bit seed from a few non-negative numbers, the same on every machine."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def position_rng(*numbers: int) -> np.random.Generator:
    """Numpy generator seeded from a few non-negative numbers."""
    return np.random.default_rng(numbers)


def roughened(latent: Tensor, most: float, generator: torch.Generator, unit: Tensor | None = None) -> Tensor:
    """Latents [B, ...] with noise of a deviation from 0 to `most`, another for each sample.

    It is counted in `unit`s, that broadcast to a sample: raw latents have deviations of their own; None: 1.
    """
    size = most * torch.rand(latent.shape[0], *[1] * (latent.ndim - 1), generator=generator)
    noise = (size * torch.randn(latent.shape, generator=generator)).to(latent)
    return latent + (noise if unit is None else noise * unit.to(latent))


def seeded(*numbers: int) -> torch.Generator:
    """Torch generator seeded from a few non-negative numbers, the same on every machine."""
    return torch.Generator().manual_seed(position_seed(*numbers))


class Collated:
    """Source that draws single samples and stacks them; `sample(rng)` gives a dict of tensors without batch axis."""

    def __init__(self, sample: Callable[[np.random.Generator], Batch], batch_size: int, seed: int) -> None:
        self.sample, self.batch_size, self.seed = sample, batch_size, seed

    def batch(self, position: int) -> Batch:
        """`batch_size` samples, each with a generator of its own."""
        first = position * self.batch_size
        return stack([self.sample(position_rng(self.seed, first + index)) for index in range(self.batch_size)])


class Mixture:
    """Batches of several sources in turn, `weights[i]` of source i in every round of sum(weights)."""

    def __init__(self, sources: Sequence[Source], weights: Sequence[int]) -> None:
        if len(sources) != len(weights) or not sources or min(weights) < 1:
            raise ConfigError(f"{len(sources)} sources need as many weights of at least 1, given {list(weights)}")
        self.sources = list(sources)
        self.weights = list(weights)
        # Evenly spread: the k-th batch of source i stands at (k + 1/2) / weight of the round.
        slots = [((k + 0.5) / weight, i, k) for i, weight in enumerate(weights) for k in range(weight)]
        self.round = [(i, k) for _, i, k in sorted(slots)]

    def batch(self, position: int) -> Batch:
        """The batch of whichever source has its turn."""
        turn, slot = divmod(position, len(self.round))
        index, k = self.round[slot]
        return self.sources[index].batch(turn * self.weights[index] + k)


class Buckets:
    """Orders samples into batches of one size each; an epoch holds every sample once.

    A batch holds as many samples as `tokens_per_batch` allows, at least one.
    """

    def __init__(self, sizes: Sequence[Size], tokens_per_batch: int, seed: int = 0) -> None:
        if not sizes:
            raise ConfigError("no samples to train on; fill the cache first")
        self.seed = seed
        self.members: dict[Size, np.ndarray] = {}
        for size in sorted(set(sizes)):
            self.members[size] = np.array([index for index, own in enumerate(sizes) if own == size])
        self.batch_sizes = {size: max(1, tokens_per_batch // int(np.prod(size))) for size in self.members}
        counts = (-(-len(self.members[size]) // self.batch_sizes[size]) for size in self.members)
        self.batches_per_epoch = sum(counts)
        self._plan = lru_cache(maxsize=2)(self._make_plan)

    def indices(self, position: int) -> list[int]:
        """Samples of the batch at `position`, counted through all epochs."""
        epoch, within = divmod(position, self.batches_per_epoch)
        return self._plan(epoch)[within]

    def _make_plan(self, epoch: int) -> list[list[int]]:
        rng = position_rng(self.seed, epoch)
        plan = []
        for size, members in self.members.items():
            order, count = rng.permutation(members).tolist(), self.batch_sizes[size]
            plan += [order[start : start + count] for start in range(0, len(order), count)]
        return [plan[index] for index in rng.permutation(len(plan))]


class Bucketed:
    """Source over an indexed data set, one size per batch; `sample(index, rng)` may augment."""

    def __init__(
        self,
        sample: Callable[[int, np.random.Generator], Batch],
        sizes: Sequence[Size],
        tokens_per_batch: int,
        seed: int,
        collate: Callable[[Sequence[Batch]], Batch] | None = None,
    ) -> None:
        self.sample, self.seed, self.collate = sample, seed, collate or stack
        self.buckets = Buckets(sizes, tokens_per_batch, seed)

    def batch(self, position: int) -> Batch:
        """The samples that the buckets put at `position`."""
        samples = [
            self.sample(index, position_rng(self.seed, position, number))
            for number, index in enumerate(self.buckets.indices(position))
        ]
        return self.collate(samples)


def stack(samples: Sequence[Batch]) -> Batch:
    """Join samples of equal shapes along a new first axis."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def stream(
    source: Source, positions: Iterable[int], workers: int = 0, *, pinned: bool = False
) -> Iterator[tuple[int, Batch]]:
    """(position, batch) in order; with `workers` > 0 background processes prepare them ahead, at low priority.

    `pinned` batches lie in memory that a CUDA device reads by itself, while the process goes on.
    """
    if workers == 0:
        for position in positions:
            batch = source.batch(position)
            yield position, {name: value.pin_memory() for name, value in batch.items()} if pinned else batch
        return
    # A generator of its own: the loader must not draw from the global one, whose state is resumed.
    loader: DataLoader[Any] = DataLoader(
        _Positions(source),
        sampler=positions,
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_be_nice,
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader


class _Positions(Dataset[tuple[int, Batch]]):
    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, position: int) -> tuple[int, Batch]:
        return position, self.source.batch(position)


def _be_nice(_: int) -> None:
    give_way()
