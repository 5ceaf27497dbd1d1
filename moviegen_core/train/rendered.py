"""Folders of rendered things: one .npy file a number, drawn once and read by every training.

What a number holds follows from the configuration alone, so a folder can be filled by any number of processes,
stopped at any time, and filled on later. Files are read through memory mapping.
"""

from __future__ import annotations

import multiprocessing
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TextIO, TypeVar

import numpy as np

from ..errors import ConfigError
from ..files import replacing
from . import distributed
from .background import give_way
from .origin import claim
from .progress import Countdown

PER_FOLDER = 1000


class Counted(Protocol):
    """A configuration that says how many things are wanted."""

    @property
    def count(self) -> int: ...


Config = TypeVar("Config", bound=Counted)
Own = TypeVar("Own", bound="Rendered[Any]")


class Rendered(ABC, Generic[Config]):
    """The first `config.count` things of a folder."""

    name: ClassVar[str]  # of many of them, as progress shows it
    one: ClassVar[str]

    def __init__(self, folder: Path, config: Config) -> None:
        """Refuses a folder whose contents another configuration or another program made."""
        self.folder, self.config = folder, config
        claim(
            folder,
            self.describe(config),
            f"the {self.name} in {{folder}} were made with other {{changed}}; delete the folder to make them again, or "
            "name another one",
        )

    @staticmethod
    @abstractmethod
    def describe(config: Config) -> Mapping[str, Any]:
        """What must be equal for two configurations to share files: all but the count, and how they are made."""

    @abstractmethod
    def make(self, number: int) -> np.ndarray:
        """The contents of file `number`."""

    def first(self: Own, count: int) -> Own:
        """The same folder, of which only the first `count` are wanted, at most all."""
        return type(self)(self.folder, replace(self.config, count=min(count, len(self))))

    def __len__(self) -> int:
        return self.config.count

    def path(self, number: int) -> Path:
        """File of one of them; a thousand to a folder."""
        return self.folder / f"{number // PER_FOLDER:03d}" / f"{number:06d}.npy"

    def stored(self, number: int) -> np.ndarray:
        """The array of file `number`, mapped: only what is read is loaded; ConfigError for a number out of range."""
        if not 0 <= number < len(self):
            raise ConfigError(f"{self.one} {number} was asked for; the folder is to hold {len(self)}")
        return np.load(self.path(number), mmap_mode="r")

    def missing(self) -> list[int]:
        """Numbers that are not rendered yet."""
        return [number for number in range(len(self)) if not self.path(number).is_file()]

    def render(self, number: int) -> None:
        """Render one into its file, atomically, unless another process has done so."""
        path = self.path(number)
        if path.is_file():
            return
        path.parent.mkdir(exist_ok=True)  # for what `make` puts beside it
        contents = self.make(number)
        with replacing(path) as partial, partial.open("wb") as stream:
            np.save(stream, contents)

    def fill(self, workers: int = 1, out: TextIO = sys.stderr) -> None:
        """Render what is missing, in `workers` background processes (0: in this one) of the first that trains."""
        distributed.once(lambda: self._fill(workers, out))

    def _fill(self, workers: int, out: TextIO) -> None:
        missing = self.missing()
        countdown = Countdown(self.name, len(self), len(self) - len(missing), out)
        if workers == 0 or len(missing) < 2:
            for number in missing:
                self.render(number)
                countdown.tick()
            return
        # Forked or spawned, a worker needs only the class, the folder and the configuration.
        with multiprocessing.get_context("spawn").Pool(workers, _start, (type(self), self.folder, self.config)) as pool:
            for _ in pool.imap_unordered(_render, missing, chunksize=8):
                countdown.tick()


_rendered: Rendered[Any] | None = None


def _start(kind: type[Rendered[Any]], folder: Path, config: Counted) -> None:
    global _rendered
    give_way()
    _rendered = kind(folder, config)


def _render(number: int) -> None:
    if _rendered is not None:
        _rendered.render(number)
