"""Writes docs/compatibility.md: our MODEL under every node that patches models, in each ComfyUI that is given.

python scripts/compatibility.py FOLDER... [--python PYTHON]

FOLDER is a checkout of ComfyUI, PYTHON the interpreter that runs it. Each takes about five minutes on one core, on
tiny random weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "nodes" / "comfy_matrix.py"
PAGE = ROOT / "docs" / "compatibility.md"
SIGNS = {"works": "yes", "not in this version": "not in this version", "skipped": "not tried here", "fails": "**no**"}
HEADINGS = {
    "nodes": ("Nodes", "node"),
    "files": ("Weight files", "file"),
    "hooks": ("Hooks for other packs", "hook"),
}
INTRODUCTION = """# Compatibility

How ComfyUI's own nodes, weight formats and hooks work with our MODEL, in {versions}. This page is written by
`scripts/compatibility.py`, which runs `tests/nodes/comfy_matrix.py` in each of them on a CPU, on a tiny video
transformer with random weights. Nothing here was tried on a GPU.

A row says "yes" only if the node runs, changes the result where it should and leaves it unchanged where it should
(strength 0, alpha 0, one window for the whole clip, ...), if the plain result comes back bit for bit afterwards, and if
no tensor is leaked. "Moves by" and "within" give the largest difference in a latent of standard deviation {scale}.
"""
NOTES = """
## What a patch cannot do here

- Nodes for rotary positions (RIFLEx, ScaleROPE and the like) change nothing: Movie Gen's positions are learned tables.
- ControlNets have no place in this network; `control` is not read.
- `post_input` receives tokens that already hold their positions, and the context as one object, which it may replace.
- ModelSamplingSD3 shifts the sigmas of KSampler and Basic Scheduler; Linear-Quadratic Sigmas ignores it and stays
  the paper's.
- The text encoders are modules of the transformers library: they are loaded whole, not streamed layer by layer when
  memory is short.
- ComfyUI's savers drop our metadata, which gives the network's sizes: before loading such a file, convert it with
  `moviegen convert SOURCE TARGET --network video_dit --preset NAME`.
"""


def main() -> None:
    """Run the matrix everywhere and write the page; exit code 1 where a row fails."""
    parser = argparse.ArgumentParser(description="write docs/compatibility.md from real runs")
    parser.add_argument("folders", nargs="+", type=Path, help="checkouts of ComfyUI, oldest first")
    parser.add_argument("--python", default=sys.executable, help="interpreter that runs ComfyUI")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tiny().write_all(Path(folder))
        runs = []
        for comfyui in arguments.folders:
            print(f"trying {comfyui}", file=sys.stderr)
            runs.append(measure(comfyui, arguments.python, Path(folder)))
    PAGE.write_text(page(runs), encoding="utf-8")
    failing = [(run["version"], title) for run in runs for title, row in run["results"].items() if row[1] == "fails"]
    for version, title in failing:
        print(f"{version}: {title} fails", file=sys.stderr)
    sys.exit(bool(failing))


def tiny() -> Any:
    """tests/nodes/tiny.py."""
    spec = importlib.util.spec_from_file_location("moviegen_tiny", ROOT / "tests" / "nodes" / "tiny.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def measure(comfyui: Path, python: str, weights: Path, seconds: float = 1800) -> dict[str, Any]:
    """{"version", "scale", "results": {title: [table, verdict, figure]}} of one ComfyUI."""
    done = subprocess.run(
        [python, str(SCRIPT), str(ROOT), str(weights)], cwd=comfyui, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode:
        raise RuntimeError(f"the matrix stopped in {comfyui}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def page(runs: list[dict[str, Any]]) -> str:
    """Results -> the page's text."""
    versions = [run["version"] for run in runs]
    parts = [INTRODUCTION.format(versions=listed(versions), scale=f"{runs[-1]['scale']:.1f}")]
    for table, (heading, column) in HEADINGS.items():
        titles = dict.fromkeys(title for run in runs for title, row in run["results"].items() if row[0] == table)
        parts.append(f"\n## {heading}\n\n| {column} | {' | '.join(f'ComfyUI {one}' for one in versions)} |")
        parts.append("\n| --- |" + " --- |" * len(runs) + "\n")
        parts += [f"| {title} | {' | '.join(cell(run, title) for run in runs)} |\n" for title in titles]
    return "".join(parts) + NOTES


def cell(run: dict[str, Any], title: str) -> str:
    """One verdict with its figure."""
    _, verdict, figure = run["results"][title]
    sign = SIGNS[verdict]
    return f"{sign}: {figure}" if figure else sign


def listed(versions: list[str]) -> str:
    """ComfyUI 1, 2 and 3."""
    names = [f"ComfyUI {versions[0]}", *versions[1:]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    main()
