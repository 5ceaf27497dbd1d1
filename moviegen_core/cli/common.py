"""What the commands share: progress, checks of file names, settings, the one line of an error."""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..files import in_the_way
from ..lock import at_once

FAILED, INTERRUPTED, UNREAD = 2, 130, 141


def add_placement(parser: argparse._ActionsContainer, dtypes: str = "auto, float32, bfloat16, float16") -> None:
    """--device and --dtype, which is one of `dtypes`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help=f"{dtypes} (default: %(default)s)")


def check_target(path: Path, suffixes: tuple[str, ...]) -> None:
    """ConfigError before the work for what could not be written after it."""
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{path} must end in {' or '.join(suffixes)}; choose such a name")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give a file name")
    if blocked := in_the_way(path):
        raise ConfigError(f"{path} cannot be written: {blocked} is no writable folder; choose another")


def check_new(path: Path, force: bool, given: Sequence[Path] = (), targets: Sequence[Path] = ()) -> None:
    """ConfigError for a taken name; with `force` only the files that were given, and other `targets`, keep theirs."""
    if any(path.resolve() == target.resolve() for target in targets):
        raise ConfigError(f"{path} was named for two files; choose another name for one of them")
    if not path.exists():
        return
    if any(file.exists() and path.samefile(file) for file in given):
        raise ConfigError(f"{path} was given and would be overwritten; choose another name")
    if not force:
        raise ConfigError(f"{path} exists already; choose another name, or add --force")


@contextmanager
def claimed(path: Path, force: bool = False) -> Iterator[None]:
    """ConfigError for a name that another command is about to write; keeps it from others until the block ends."""
    # Not beside the file, whose folder may not be there yet; a lock that another user left could not be opened.
    user = getattr(os, "getuid", int)()
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    with at_once(Path(tempfile.gettempdir()) / f"moviegen-{user}-{name}") as ours:
        if not ours:
            raise ConfigError(f"{path} is being made by another command; choose another name, or wait for it")
        check_new(path, force)
        yield


class Progress:
    """One line on stderr that is rewritten on a terminal, and printed every tenth of the way elsewhere.

    Its clock starts at `start` (of time.monotonic), else with the first step: what comes before may take its own time.
    """

    def __init__(self, what: str, unit: str = "step", start: float | None = None) -> None:
        self.what, self.unit, self.start = what, unit, start
        self.first = self.tenths = 0

    def show(self, step: int, steps: int) -> None:
        """Tell that `step` of `steps` are done, with rate and time left as soon as they are known."""
        now = time.monotonic()
        if self.start is None:
            self.start, self.first = now, step
        line = f"{self.what}: {self.unit} {step}/{steps}"
        if step > self.first:
            rate = (step - self.first) / max(now - self.start, 1e-6)
            line += f", {rate:.2f} {self.unit}s/s, {(steps - step) / rate:.0f} s left"
        if sys.stderr.isatty():
            print(f"\r{line:<79}", end="\n" if step == steps else "", file=sys.stderr, flush=True)
        elif step * 10 // steps > self.tenths:
            self.tenths = step * 10 // steps
            say(line)


def add_settings(parser: argparse.ArgumentParser, what: str) -> None:
    """--set NAME=VALUE, as often as wanted."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help=what)


def settings_of(arguments: argparse.Namespace) -> dict[str, str]:
    """What --set gave, by name; ConfigError for what is no NAME=VALUE."""
    settings = {}
    for setting in arguments.settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r} must look like NAME=VALUE, for example --set seed=7")
        settings[name] = value
    return settings


def plain(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def say(line: str) -> None:
    """One line on stderr."""
    print(f"moviegen: {line}", file=sys.stderr, flush=True)


def told(error: OSError) -> str:
    """What went wrong with a file, and what to do, in one line."""
    name = error.filename if error.filename is None else os.fsdecode(error.filename)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        where = f" {name}" if name else ""
        return f"the disk is full while writing{where}; free some space or write to another folder"
    if name is None:
        return _without_name(error)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name} may not be read or written; correct its rights, or choose another"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{name} stands where a folder is needed; move it away, or choose another folder"
    if error.errno == errno.ENOENT:
        return f"{name} does not exist; check the name"
    return f"{name}: {error.strerror or error}"


def _without_name(error: OSError) -> str:
    try:
        os.getcwd()
    except OSError:
        return "the folder of this terminal was deleted; change to another one"
    return error.strerror or str(error)


def fail(line: str, code: int = FAILED) -> int:
    """The one line of an error; gives the exit code."""
    if os.environ.get("MOVIEGEN_DEBUG") == "1":
        traceback.print_exc()
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    say(" ".join(line.split()))
    return code
