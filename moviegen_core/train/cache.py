"""Tensors computed once and kept: latents and text features, in safetensors shards with a manifest of their origin."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError
from ..models.loading import write_tensors
from . import distributed
from .origin import claim
from .progress import Countdown

Make = Callable[[Sequence[int]], Sequence[Mapping[str, Tensor]]]  # item numbers -> tensors of each


class ShardCache:
    """Items 0 ... count - 1, each a dict of tensors; floating-point ones are stored in fp16."""

    def __init__(
        self, folder: Path, count: int, origin: Mapping[str, Any], shard_size: int = 64, *, anew: bool = False
    ) -> None:
        """`origin` says what the tensors depend on (hashes of networks, clips); another one on disk is refused.

        With `anew` the folder is emptied instead: a training that does not resume needs what it holds no more.
        """
        self.folder, self.count, self.origin, self.shard_size = folder, count, dict(origin), shard_size
        self.handles: dict[int, Any] = {}
        distributed.once(lambda: self._claim(anew))

    def _claim(self, anew: bool) -> None:
        try:
            claim(
                self.folder,
                {**self.origin, "shard_size": self.shard_size},
                "{folder} is stale: it was computed with another {changed}; delete the folder, or train anew with "
                "--no-resume, and it will be computed again",
            )
        except CheckpointError:
            if not anew:
                raise
            shutil.rmtree(self.folder)
            self._claim(False)

    def path(self, shard: int) -> Path:
        """File of one shard."""
        return self.folder / f"{shard:05d}.safetensors"

    def fill(self, make: Make, name: str = "cache", out: TextIO = sys.stderr) -> None:
        """Compute the shards that are missing, in the first of several processes; a stop loses at most one."""
        distributed.once(lambda: self._fill(make, name, out))

    def _fill(self, make: Make, name: str, out: TextIO) -> None:
        shards = range(-(-self.count // self.shard_size))
        missing = [shard for shard in shards if not self._holds(shard)]
        countdown = Countdown(name, len(shards), len(shards) - len(missing), out)
        for shard in missing:
            if self._holds(shard):  # by another process
                continue
            numbers = self._numbers(shard)
            tensors = {
                f"{number}.{key}": value.half() if value.is_floating_point() else value
                for number, item in zip(numbers, make(numbers), strict=True)
                for key, value in item.items()
            }
            write_tensors(tensors, self.path(shard), {"count": str(len(numbers))})
            countdown.tick()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Tensors of one item, floating-point ones as fp32."""
        _, names = self._open(number // self.shard_size)
        return {name: self.get(number, name) for name in names.get(number, ())} or self._absent(number)

    def get(self, number: int, key: str) -> Tensor:
        """One tensor of an item."""
        shard, names = self._open(number // self.shard_size)
        if key not in names.get(number, ()):
            self._absent(number)
        value = shard.get_tensor(f"{number}.{key}")
        return value.float() if value.is_floating_point() else value

    def keys(self, number: int) -> list[str]:
        """Names of an item's tensors."""
        return self._open(number // self.shard_size)[1].get(number, [])

    def _absent(self, number: int) -> NoReturn:
        raise CheckpointError(f"{self.folder} does not hold all of item {number}; fill it first")

    def sizes(self, key: str) -> list[tuple[int, ...]]:
        """Shape of tensor `key` of every item, without reading any."""
        found = []
        for number in range(self.count):
            shard, _ = self._open(number // self.shard_size)
            found.append(tuple(shard.get_slice(f"{number}.{key}").get_shape()))
        return found

    def _numbers(self, shard: int) -> list[int]:
        first = shard * self.shard_size
        return list(range(first, min(first + self.shard_size, self.count)))

    def _holds(self, shard: int) -> bool:
        """A damaged shard, and a last one that was filled when the cache was to hold fewer items, are made again."""
        if not self.path(shard).is_file():
            return False
        try:
            with safe_open(self.path(shard), framework="pt") as stream:
                return int(stream.metadata()["count"]) >= len(self._numbers(shard))
        except (OSError, RuntimeError, SafetensorError):
            return False

    def _open(self, shard: int) -> tuple[Any, dict[int, list[str]]]:
        if shard not in self.handles:
            try:
                handle = safe_open(self.path(shard), framework="pt")
            except (OSError, RuntimeError, SafetensorError) as error:
                raise CheckpointError(f"{self.path(shard)} cannot be read ({error}); fill the cache again") from error
            names: dict[int, list[str]] = {}
            for name in handle.keys():  # noqa: SIM118  it is not a dict
                number, _, key = name.partition(".")
                names.setdefault(int(number), []).append(key)
            self.handles[shard] = (handle, names)
        return self.handles[shard]

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not travel to worker processes.
        return {**self.__dict__, "handles": {}}


def pad_features(items: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> dict[str, Tensor]:
    """Features "NAME" [L, D] -> "context.NAME" [B, L, D] and "context_mask.NAME" [B, L]; absent ones are masked."""
    batch: dict[str, Tensor] = {}
    for name in names:
        rows = [item.get(name) for item in items]
        width = next((row.shape[1] for row in rows if row is not None), None)
        if width is None:
            continue
        longest = max(row.shape[0] for row in rows if row is not None)
        context = torch.zeros(len(rows), longest, width)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for index, row in enumerate(rows):
            if row is not None:
                context[index, : row.shape[0]], mask[index, : row.shape[0]] = row, True
        batch[f"context.{name}"], batch[f"context_mask.{name}"] = context, mask
    return batch
