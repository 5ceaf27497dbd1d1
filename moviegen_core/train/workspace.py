"""Where a recipe reads and writes, and how it hands over what it trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn

from .. import weights
from ..devices import Placement, choose
from ..models import loading
from . import distributed, state
from .clips import ClipConfig, Clips
from .loop import CHECKPOINT, forget


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One output folder for clips, caches and runs of all recipes; `ship` receives the trained weights."""

    output: Path
    ship: Path = weights.SHIPPED_FOLDER
    resume: bool = True
    minutes_scale: float = 1.0
    placement: Placement = field(default_factory=choose)
    render_workers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)  # which the user gave the recipe, for the manifest
    out: TextIO = sys.stderr

    def folder(self, *names: str) -> Path:
        """A folder below the output."""
        return self.output.joinpath(*names)

    def training(self, *names: str) -> Path:
        """The folder of a recipe's stages; without `resume` what an earlier training left of them is deleted first."""
        if not self.resume:
            self.once(lambda: forget(self.folder(*names)))
        return self.folder(*names)

    def steps(self, *names: str) -> int:
        """How many steps the run in a folder below the output has made."""
        distributed.meet(distributed.join(self.placement.device.type))  # the first may still be writing
        return int(state.load(self.folder(*names) / CHECKPOINT)["step"])

    def clips(self, config: ClipConfig, name: str = "clips") -> Clips:
        """The rendered clips of `config`, drawn now where they are missing."""
        clips = Clips(self.folder(name), config)
        clips.fill(self.render_workers, self.out)
        return clips

    def timed(self, config: Any) -> Any:
        """A LoopConfig with its minutes scaled."""
        if config.max_minutes is None or self.minutes_scale == 1.0:
            return config
        return replace(config, max_minutes=config.max_minutes * self.minutes_scale)

    def needs(self, *names: str) -> None:
        """CheckpointError where weights that a recipe reads are missing, before it begins to work."""
        for name in names:
            self.weight_file(name)

    def weight_file(self, name: str) -> Path:
        """Verified file of trained weights, such as "nano/tae": those in `ship`, else the package's own."""
        return weights.path(name, self._home(name))

    def sha256(self, name: str) -> str:
        """Hash of trained weights, to tell which ones a cache was computed with."""
        self.needs(name)
        return weights.shipped(self._home(name))[name].sha256

    def _home(self, name: str) -> Path:
        return self.ship if name in weights.shipped(self.ship) else weights.SHIPPED_FOLDER

    def begun(self, start: str, network: str) -> nn.Module:
        """A network of kind `network` to train on from: shipped weights by name, or a file."""
        return loading.load(weights.resolve(start), device="cpu", dtype=torch.float32, network=network)

    def once(self, write: Callable[[], object]) -> None:
        """Call `write` in the first of several processes that train together; the others wait for it."""
        world = distributed.join(self.placement.device.type)
        if world.is_main:
            write()
        distributed.meet(world)

    def export(
        self, name: str, network: nn.Module, extra: Mapping[str, Any] | None = None, *, start: str = "", **facts: Any
    ) -> Path:
        """Write `network` in fp16 as shipped weights `name` ("nano/tae") and enter it in the manifest.

        `start` names the weights that it was trained on from: they are told there, and their steps are counted too.
        """
        ancestors = weights.lineage(start) if start else []
        if ancestors and "steps" in facts:
            facts["steps"] += ancestors[-1].get("steps", 0)
        file = self.ship / f"{name.split('/')[-1]}.safetensors"
        # The file says by itself how it is best sampled: a copy of the folder has no manifest of ours.
        advice = {"sampling": facts["sampling"]} if "sampling" in facts else {}

        def write() -> None:
            loading.save(network, file, extra={**advice, **(extra or {})}, dtype=torch.float16)
            network_name = loading.read_header(file).network
            told = {"settings": dict(self.settings), "commit": commit(), "ancestors": ancestors}
            weights.register(name, file, self.ship, network=network_name, **told, **facts)

        self.once(write)
        return file

    def say(self, line: str) -> None:
        """One line for people."""
        self.out.write(line + "\n")
        self.out.flush()


def commit() -> str:
    """Commit of the code that trains, with "+" where it has changes; empty outside a checkout."""
    where = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short=12", "HEAD")
        return found + "+" if found and git("status", "--porcelain", "--untracked-files=no", "--", "..") else found
    except OSError:
        return ""
