"""What holds for all tests."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))  # tests of every folder import films


@pytest.fixture(autouse=True)
def own_numbers(request: pytest.FixtureRequest) -> None:
    """A test draws the same numbers from torch alone, in any order and beside any others."""
    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session", autouse=True)
def one_precision() -> Iterator[None]:
    """Networks compute in float32 on every CPU: those that multiply bfloat16 would round more than tests allow."""
    with pytest.MonkeyPatch.context() as patch:
        for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
            patch.setattr(torch.cpu, probe, lambda: False, raising=False)
        yield
