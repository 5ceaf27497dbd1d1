"""Our MODEL under every node that patches models, in a real ComfyUI. Run with `pytest -m comfy`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TITLES = [
    title
    for file in ("comfy_matrix.py", "matrix_files.py", "matrix_hooks.py")
    for title in re.findall(r'^@case\("([^"]+)"', (HERE / file).read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.fixture(scope="module")
def results(weights, comfy) -> dict[str, list[str]]:
    """Table, verdict and figure of every row."""
    return comfy.measure("comfy_matrix.py", Path(weights["video"]).parent)["results"]


@pytest.mark.parametrize("title", TITLES)
def test_row_works_where_this_comfyui_has_the_node(title, results):
    _, verdict, figure = results[title]
    if verdict in ("skipped", "not in this version"):
        pytest.skip(figure or verdict)
    assert verdict == "works", figure


def test_no_row_fails(results):
    assert {title: figure for title, (_, verdict, figure) in results.items() if verdict == "fails"} == {}
