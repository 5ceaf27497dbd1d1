"""The `moviegen` command. Errors are one line on stderr and a non-zero exit code; heavy imports wait for their use."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import MovieGenError
from .common import FAILED, INTERRUPTED, Progress, fail
from .make import add_make
from .models import add_convert, add_doctor, add_models, parameter_table
from .run import add_run, add_studio
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 0 done, 2 refused or failed, 130 interrupted."""
    parser = build_parser()
    given = sys.argv[1:] if argv is None else argv
    if not given and parser.get_default("run") is None:
        parser.print_help(sys.stderr)
        return FAILED
    arguments = parser.parse_args(given)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="moviegen: %(message)s", stream=sys.stderr)
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        return fail("interrupted; no unfinished file was left", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except MovieGenError as error:
        return fail(str(error))
    except MemoryError:
        return fail("memory ran out; make the clip shorter or smaller")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return fail(f"the disk is full while writing{where}; free some space or write to another folder")
        return fail(f"{error.strerror or error}{where}")
    except RuntimeError as error:
        # torch.OutOfMemoryError is a RuntimeError, and so is what its CPU allocator raises.
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return fail("memory ran out; make the clip shorter or smaller, or use another --device")


def build_parser() -> argparse.ArgumentParser:
    """Parser of every subcommand; each stores the function that runs it."""
    parser = Parser(prog="moviegen", description="Movie Gen: films and their sound from sentences.")
    parser.add_argument("--version", action="version", version=f"moviegen {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in ADDERS:
        add(commands)
    return parser
