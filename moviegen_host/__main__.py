"""`python -m moviegen_host FILE`: the command behind `moviegen run`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import Cancelled, HostError
from .run import Host
from .session import Progress

DONE, FAILED, INTERRUPTED = 0, 2, 130
BAR = 28  # characters


def run(
    workflow: str | Path,
    settings: Mapping[str, Any] | None = None,
    output: str | Path = "out",
    *,
    input_directory: str | Path | None = None,
    packs: Sequence[str | Path] | None = None,
    list_only: bool = False,
) -> int:
    """Runs a workflow file and prints the files it wrote; the exit code is 0, 2 after an error, 130 after Ctrl-C."""
    bar = _Bar()
    try:
        host = Host(
            packs,
            output=output,
            input_directory=Path(workflow).parent if input_directory is None else input_directory,
            on_progress=bar,
            keep=False,
        )
        if list_only:
            for one in host.settings(workflow):
                print(f"{one.alias or one.full_name} = {one.value!r}")
            return DONE
        result = host.run(workflow, settings)
    except HostError as error:
        bar.end()
        for problem in error.problems:
            sys.stderr.write(f"moviegen: {problem}\n")
        if os.environ.get("MOVIEGEN_DEBUG") == "1":
            traceback.print_exception(error)
        logging.getLogger(__name__).info("where it happened", exc_info=error.__cause__)
        return FAILED
    except (KeyboardInterrupt, Cancelled):
        bar.end()
        sys.stderr.write("moviegen: stopped; no unfinished file was left\n")
        return INTERRUPTED
    except Exception as error:
        bar.end()
        if os.environ.get("MOVIEGEN_DEBUG") == "1":
            traceback.print_exception(error)
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        sys.stderr.write(f"moviegen: {kind}{' '.join(str(error).split())}; MOVIEGEN_DEBUG=1 shows where\n")
        return FAILED
    bar.end()
    for path in result.written:
        print(path)
    if not result.written:
        sys.stderr.write("moviegen: done; the workflow only shows previews and saved no file\n")
    return DONE


class _Bar:
    """One line on a terminal that follows the node at work; silent elsewhere."""

    def __init__(self) -> None:
        self.visible = sys.stderr.isatty()
        self.started, self.node, self.width = time.monotonic(), "", 0

    def __call__(self, progress: Progress) -> None:
        if not self.visible:
            return
        if progress.node_id != self.node:
            self.end()
            self.started, self.node = time.monotonic(), progress.node_id
        share = min(1.0, progress.value / progress.maximum) if progress.maximum else 1.0
        seconds = time.monotonic() - self.started
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        filled = round(share * BAR)
        text = f"{progress.title} [{'#' * filled}{'.' * (BAR - filled)}] {progress.value:g}/{progress.maximum:g}{left}"
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)

    def end(self) -> None:
        """Leaves the line."""
        if self.width:
            sys.stderr.write("\n")
            self.width = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the host alone."""
    parser = argparse.ArgumentParser(prog="python -m moviegen_host", description="Runs a workflow without ComfyUI.")
    parser.add_argument("workflow", type=Path, help="a workflow in UI or API format, or a film or PNG that carries one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--list-settings", action="store_true", help="print what --set can change")
    parser.add_argument("--output", type=Path, default=Path("out"), metavar="DIR")
    parser.add_argument("--input", type=Path, metavar="DIR", help="where load nodes look (default: beside the file)")
    parser.add_argument("--pack", action="append", type=Path, metavar="DIR", help="a node pack; may be repeated")
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.WARNING, format="moviegen: %(message)s", stream=sys.stderr
    )
    settings = {}
    for setting in arguments.settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            parser.error(f"--set {setting!r} must look like NAME=VALUE, for example --set seed=7")
        settings[name] = value
    return run(
        arguments.workflow,
        settings,
        arguments.output,
        input_directory=arguments.input,
        packs=arguments.pack,
        list_only=arguments.list_settings,
    )


if __name__ == "__main__":
    sys.exit(main())
