"""docs/compatibility.md is what the matrix in real ComfyUIs gave, whole and without a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
SOURCES = "".join(
    (ROOT / "tests" / "nodes" / name).read_text(encoding="utf-8")
    for name in ("comfy_matrix.py", "matrix_files.py", "matrix_hooks.py")
)
TITLES = re.findall(r'^@case\("([^"]+)"', SOURCES, re.MULTILINE)
ASKED = (
    "KSampler", "SamplerCustomAdvanced", "EasyCache", "LazyCache", "ContextWindowsManual", "NAGuidance", "APG",
    "CFGZeroStar", "CFGNorm", "SkipLayerGuidanceDiT", "TCFG", "RescaleCFG", "ModelSamplingSD3", "LoraLoaderModelOnly",
    "TorchCompileModel", "TrainLoraNode", "MultiGPU CFG Split",
)  # fmt: skip
VERDICTS = ("yes", "not in this version", "not tried here")


def rows():
    """Cells of every row by its title."""
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


@pytest.mark.parametrize("title", TITLES)
def test_every_row_of_the_matrix_stands_on_the_page(title):
    assert title in rows()


@pytest.mark.parametrize("node", ASKED)
def test_node_works_in_the_newest_comfyui(node):
    found = [cells for title, cells in rows().items() if title.split(",")[0] == node]
    assert found
    assert all(cells[-1].startswith("yes") for cells in found)


def test_floor_and_newest_comfyui_were_tried():
    [versions] = {tuple(cells) for title, cells in rows().items() if title in ("node", "file", "hook")}
    assert (versions[0], versions[-1]) == ("ComfyUI 0.19.0", "ComfyUI 0.33.0")
    assert len(versions) >= 3


def test_no_row_fails_anywhere():
    told = {title: cells for title, cells in rows().items() if title not in ("node", "file", "hook", "---")}
    assert len(told) > 40
    assert [title for title, cells in told.items() if not all(cell.startswith(VERDICTS) for cell in cells)] == []


def test_readme_leads_to_the_page():
    assert "(docs/compatibility.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
