"""What a film costs in ComfyUI, beside the same workflow on our own host (`moviegen run`), in turn in one run.

    python benchmarks/comfyui.py --comfyui DIR [--python PYTHON] [--frames 256] [--steps 50] [--repeats 3] [--threads 2]

Both run workflows/text_to_video.json on the shipped models, from the prompt to the saved mp4. The first film of each
loads the models (and, on our host, libraries that ComfyUI imports when it starts) and is told apart; the others have
new seeds, so that all but the loaders runs again. CPU seconds stand beside the wait, for a busy machine stretches the
wait and not them. Without ComfyUI's folder (or $COMFYUI_DIR) nothing is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / "workflows" / "text_to_video.json"
PROMPT = "A blue ball bounces on the beach on a sunny day. The camera is static."


def measured(process: psutil.Process, work: Callable[[], Path]) -> tuple[float, float, Path]:
    """Seconds of waiting and of `process`'s CPU, and the film."""
    before, began = process.cpu_times(), time.perf_counter()
    film = work()
    waited, after = time.perf_counter() - began, process.cpu_times()
    return waited, after.user + after.system - before.user - before.system, film


def started(base: Path, comfyui: Path, python: str) -> Any:
    """A running ComfyUI that knows this pack, and its helpers (tests/nodes/comfy_server.py)."""
    os.environ |= {"COMFYUI_DIR": str(comfyui), "COMFYUI_PYTHON": python}
    sys.path.insert(0, str(ROOT / "tests" / "nodes"))
    import comfy_server

    from moviegen_core import weights

    # It wants files of its own beside the shipped ones.
    files = {part: str(weights.path(f"nano/{part}")) for part in ("video", "tae", "ul2", "metaclip", "byt5")}
    server = comfy_server.Server(base, files)
    server.wait_until_up()
    return server, comfy_server


def main() -> None:
    """Film in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", type=Path, default=os.environ.get("COMFYUI_DIR"), help="a checkout of ComfyUI")
    parser.add_argument("--python", default=os.environ.get("COMFYUI_PYTHON", sys.executable), help="what runs it")
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.comfyui:
        print("not measured: name a checkout of ComfyUI with --comfyui")
        return
    # Both get as many threads, from before torch is imported.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(arguments.threads))
    import torch

    from moviegen_core.media.movie import read_movie
    from moviegen_host.run import Host

    with tempfile.TemporaryDirectory() as folder:
        server, helpers = started(Path(folder) / "comfyui", arguments.comfyui, arguments.python)
        try:
            host = Host(output=Path(folder) / "out", input_directory=WORKFLOW.parent)
            info, document = server.ask("/object_info"), helpers.workflow(WORKFLOW.stem)
            size = {"prompt": PROMPT, "length": arguments.frames, "steps": arguments.steps}

            def ours(seed: int) -> Path:
                return host.run(WORKFLOW, {**size, "seed": seed}).written[0]

            def theirs(seed: int) -> Path:
                prompt = helpers.api_prompt(document, info, shipped=True, seed=seed, **size)
                entry = server.finished(server.queue(prompt, document), 3600)
                [film] = [one for node in entry["outputs"].values() for one in node.get("images", [])]
                return server.base / "output" / film["subfolder"] / film["filename"]

            sides = (("moviegen run", psutil.Process(), ours),)
            sides += (("ComfyUI", psutil.Process(server.process.pid), theirs),)
            waits: dict[str, list[float]] = {name: [] for name, *_ in sides}
            spent: dict[str, list[float]] = {name: [] for name, *_ in sides}
            differences = []
            for seed in range(arguments.repeats + 1):
                # Who begins changes, for a machine may slow down as it grows warm.
                films = {}
                for name, process, work in sides if seed % 2 else sides[::-1]:
                    waited, worked, film = measured(process, lambda work=work, seed=seed: work(seed))
                    waits[name].append(waited)
                    spent[name].append(worked)
                    films[name] = read_movie(film).pixels()
                    print(f"film {seed} by {name}: {waited:.1f} s, {worked:.1f} CPU s", file=sys.stderr)
                differences.append(float((films["moviegen run"] - films["ComfyUI"]).abs().mean()))
        finally:
            server.process.terminate()
            server.process.wait(20)

    print(f"{arguments.frames} frames of 128 x 128, {arguments.steps} steps with guidance, {arguments.threads} threads")
    print(f"torch {torch.__version__}; through each one's mp4 the films differ by {max(differences):.4f} of 2\n")
    print("| what | moviegen run | ComfyUI | ratio |\n|---|---|---|---|")
    for title, values in (("wait", waits), ("CPU time", spent)):
        own, theirs = values["moviegen run"], values["ComfyUI"]
        ratio = statistics.median(other / mine for mine, other in zip(own[1:], theirs[1:], strict=True))
        print(f"| {title}, first film | {own[0]:.1f} s | {theirs[0]:.1f} s | {theirs[0] / own[0]:.2f} |")
        medians = f"{statistics.median(own[1:]):.1f} s | {statistics.median(theirs[1:]):.1f} s"
        print(f"| {title}, median of {arguments.repeats} more | {medians} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
