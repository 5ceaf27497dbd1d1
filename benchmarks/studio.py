"""How long the studio takes until its first page can be used: `python benchmarks/studio.py [--rounds 3] [--cores 2]`.

Three waits: from the start of the process to an interactive canvas in a Chromium that is open already and has never
seen the page; the page alone, new to the browser; the page alone on a later visit. Interactive means that
text_to_video is drawn, Run can be pressed and the page answers. CPU seconds stand beside each wait, for a busy machine
stretches the wait and not them.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import editor

INTERACTIVE = """() => new Promise(done => {
    if (!window.app?.rootGraph?.nodes.length || !document.querySelector('#graph-canvas')) return done(false);
    requestAnimationFrame(() => setTimeout(() => done(true)));
})"""


def cpu_seconds() -> float:
    """CPU time of this process's living descendants: the studio, the browser, its driver."""
    spent = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        spent += times.user + times.system
    return spent


def open_page(page: Any, address: str) -> None:
    """Waits until the first page can be used."""
    page.goto(address, wait_until="commit")
    page.wait_for_function(INTERACTIVE, polling=20)
    page.get_by_role("button", name="Run", exact=True).first.wait_for()


def measured(action: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of an action."""
    spent, start = cpu_seconds(), time.monotonic()
    action()
    return time.monotonic() - start, cpu_seconds() - spent


def one_round(browser: Any) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each wait."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="studio_") as folder, editor.tab(browser) as page:
        spent, start = cpu_seconds(), time.monotonic()
        with editor.studio(Path(folder)) as address:
            found["process start to listening"] = (time.monotonic() - start, cpu_seconds() - spent)
            open_page(page, address)
            found["process start to an interactive page"] = (time.monotonic() - start, cpu_seconds() - spent)
            found["the page again"] = measured(lambda: open_page(page, address))
            with editor.tab(browser) as fresh:
                found["the page in a new browser profile"] = measured(lambda: open_page(fresh, address))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2, help="use no more than these")
    arguments = parser.parse_args(argv)
    if not editor.chromium_program():
        parser.exit(0, "studio: left out, there is no Chromium\n")
    for module, package in (("playwright", "browser"), ("comfyui_frontend_package", "studio")):
        if importlib.util.find_spec(module) is None:
            parser.exit(0, f"studio: left out, {module} is not installed; pip install -e '.[{package}]' brings it\n")
    allowed = sorted(os.sched_getaffinity(0))[: arguments.cores]
    os.sched_setaffinity(0, allowed)
    load = os.getloadavg()[0]
    with editor.chromium() as browser:
        rounds = [one_round(browser) for _ in range(arguments.rounds)]
    print(f"studio: {len(allowed)} cores, load average {load:.1f} before, median (least) of {arguments.rounds} rounds")
    for name in rounds[0]:
        walls, spent = zip(*(one[name] for one in rounds), strict=True)
        print(f"{name:<38} {statistics.median(walls):6.2f} s ({min(walls):.2f})   CPU {statistics.median(spent):.2f} s")


if __name__ == "__main__":
    main()
