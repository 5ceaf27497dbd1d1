"""The `moviegen` command. Errors are one line on stderr and a non-zero exit code; heavy imports wait for their use."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

from .. import __version__
from ..errors import MovieGenError
from ..memory import is_memory
from .common import FAILED, INTERRUPTED, UNREAD, Progress, fail, told
from .make import add_make
from .models import add_convert, add_doctor, add_models, parameter_table
from .run import add_run, add_studio
from .signals import Heard, listening
from .sound import add_sound
from .train import add_average, add_evaluate, add_train

ADDERS = (
    add_make,
    add_sound,
    add_run,
    add_studio,
    add_models,
    add_train,
    add_average,
    add_evaluate,
    add_convert,
    add_doctor,
)

__all__ = ["Progress", "build_parser", "main", "parameter_table"]


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as every other error, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with the line and where help is."""
        self.exit(FAILED, f"moviegen: {message}; see: {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As usual, but what no command knows is told by the command itself, whose help lists what it does know."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            quotes = getattr(found, "prompt", None) and not unknown[0].startswith("-")
            hint = '; the prompt goes in quotes, as in "a red ball"' if quotes else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """As usual, but a help that nobody reads is told before the interpreter ends."""
        flush()
        super().exit(status, message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 0 done, 2 refused or failed, 128 and the number of a signal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal has no letters for is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    with listening() as heard:
        return _answered(sys.argv[1:] if argv is None else argv, heard)


def _answered(given: Sequence[str], heard: Heard) -> int:
    """The exit code, after one line about whatever went wrong."""
    try:
        code = _run(given)
        flush()
        return heard.code if heard.code and code == INTERRUPTED else code
    except KeyboardInterrupt:
        return fail("interrupted; no unfinished file was left", heard.code or INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except MovieGenError as error:
        return fail(str(error))
    except OSError as error:
        return fail(told(error))
    except Exception as error:
        if heard.code:  # libraries take an interrupt while they are loaded for an error of their own
            return fail("interrupted; no unfinished file was left", heard.code)
        if is_memory(error):
            return fail("memory ran out; make the clip shorter or smaller, or use another --device")
        return fail(f"{type(error).__name__}: {error}; MOVIEGEN_DEBUG=1 shows where")


def flush() -> None:
    """Write out what was printed, while an error is still caught."""
    print(end="", flush=True)


def _run(given: Sequence[str]) -> int:
    parser = build_parser()
    if not given and parser.get_default("run") is None:
        parser.print_help(sys.stderr)
        return FAILED
    arguments = parser.parse_args(given)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="moviegen: %(message)s", stream=sys.stderr)
    return arguments.run(arguments) or 0


def build_parser() -> argparse.ArgumentParser:
    """Parser of every subcommand; each stores the function that runs it."""
    parser = Parser(prog="moviegen", description="Movie Gen: films and their sound from sentences.")
    parser.add_argument("--version", action="version", version=f"moviegen {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in ADDERS:
        add(commands)
    return parser
