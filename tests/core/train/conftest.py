"""Where the recipes under test work."""

from __future__ import annotations

import io

import pytest

from moviegen_core.devices import choose
from moviegen_core.train.workspace import Workspace


@pytest.fixture(scope="session")
def in_folder():
    """Function that gives the workspace of a folder: float32 on the CPU, in one process, without a word."""
    return lambda folder: Workspace(
        output=folder / "runs", ship=folder / "ship", placement=choose("cpu", "fp32"), render_workers=0,
        out=io.StringIO(),
    )  # fmt: skip


@pytest.fixture
def workspace(in_folder, tmp_path):
    """A workspace of this test alone."""
    return in_folder(tmp_path)
