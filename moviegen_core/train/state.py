"""What a training run must remember to go on exactly where it was killed.

Written with torch.save and read with weights_only=True: tensors, numbers and strings, no code.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..files import replacing
from .distributed import whole

PROBED = 16  # values of each tensor, by which weights are known again
CLOSE = {"rtol": 1e-2, "atol": 1e-5}  # other processors and precisions round otherwise; a step of training moves more


def random_states() -> dict[str, Any]:
    """States of the global generators of torch (CPU and CUDA), Python and numpy."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  the global one is meant
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(words), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],  # type: ignore[union-attr]
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` gave."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002


def seed_everything(seed: int) -> None:
    """Seed the global generators; objectives draw from their own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def probe(module: nn.Module) -> Tensor:
    """A few values of every tensor of a module, [N] on the CPU: cheap for networks of any size."""
    tensors = (whole(value.detach()).flatten() for value in module.state_dict().values())
    return torch.cat([values[:: max(1, len(values) // PROBED)][:PROBED].float().cpu() for values in tensors])


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two probes are of the same weights."""
    return one.shape == other.shape and torch.allclose(one, other, equal_nan=True, **CLOSE)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write atomically: the old checkpoint stays until the new one is whole; CheckpointError where that fails."""
    try:
        with replacing(path) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be written ({error}); free some space and resume the training") from error


def load(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint of `save`; CheckpointError when it is damaged.

    `mapped` tensors are read once they are used; until they are let go of, the file must stay as it is.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises many kinds for a damaged archive
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}); delete it to start this stage again") from error
