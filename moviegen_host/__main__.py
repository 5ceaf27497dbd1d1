"""`python -m moviegen_host FILE`: the command behind `moviegen run`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import Cancelled, HostError
from .run import Host
from .session import Progress

DONE, FAILED, INTERRUPTED = 0, 2, 130


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
    follower = _Follower()
    try:
        host = Host(
            packs,
            output=output,
            input_directory=Path(workflow).parent if input_directory is None else input_directory,
            on_progress=follower,
            keep=False,
        )
        if list_only:
            for one in host.settings(workflow):
                print(f"{one.alias or one.full_name} = {one.value!r}")
            return DONE
        result = host.run(workflow, settings)
    except HostError as error:
        follower.end()
        for problem in error.problems:
            sys.stderr.write(f"moviegen: {problem}\n")
        if os.environ.get("MOVIEGEN_DEBUG") == "1":
            traceback.print_exception(error)
        logging.getLogger(__name__).info("where it happened", exc_info=error.__cause__)
        return FAILED
    except (KeyboardInterrupt, Cancelled):
        follower.end()
        sys.stderr.write("moviegen: stopped; no unfinished file was left\n")
        return INTERRUPTED
    except Exception as error:
        follower.end()
        if os.environ.get("MOVIEGEN_DEBUG") == "1":
            traceback.print_exception(error)
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        sys.stderr.write(f"moviegen: {kind}{' '.join(str(error).split())}; MOVIEGEN_DEBUG=1 shows where\n")
        return FAILED
    follower.end()
    for path in result.written:
        print(path)
    if not result.written:
        sys.stderr.write("moviegen: done; the workflow only shows previews and saved no file\n")
    return DONE


class _Follower:
    """Tells on stderr how far the node at work is, as the other commands do."""

    def __init__(self) -> None:
        self.node = ""
        self.line: Any = None
        self.step = self.steps = 0

    def __call__(self, progress: Progress) -> None:
        from moviegen_core.cli.common import Progress as Line

        whole = progress.maximum >= 2 or progress.value in (0, progress.maximum)
        step, steps = (int(number if whole else 100 * number) for number in (progress.value, progress.maximum))
        # The next item of a list, or the next part of a node's work.
        if self.line is None or progress.node_id != self.node or step < self.step or steps != self.steps:
            self.end()
            self.node, self.line = progress.node_id, Line(progress.title)
        if self.step < step <= steps or step == 0 < steps:
            self.step, self.steps = step, steps
            self.line.show(step, steps)

    def end(self) -> None:
        """Leaves the line that is rewritten on a terminal."""
        if self.step < self.steps and sys.stderr.isatty():
            sys.stderr.write("\n")
        self.step = self.steps = 0


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
