"""Where a recipe reads and writes, and how it hands over what it trained."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import torch
from torch import nn

from .. import weights
from ..devices import Placement, choose
from ..errors import CheckpointError
from ..files import replacing
from ..models import loading
from . import distributed, state
from .average import EMA
from .cache import ShardCache
from .clips import ClipConfig, Clips
from .data import Objective, Source
from .loop import CHECKPOINT, Hook, LoopConfig, fit, forget


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One output folder for clips, caches and runs of all recipes; `ship` receives the trained weights."""

    output: Path
    ship: Path = weights.SHIPPED_FOLDER
    resume: bool = True
    minutes_scale: float = 1.0
    placement: Placement = field(default_factory=choose)
    render_workers: int = 1
    strategy: str = "ddp"  # of several processes, which torchrun started
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
        return int(state.load(self.folder(*names) / CHECKPOINT, mapped=True)["step"])

    def clips(self, config: ClipConfig, name: str = "clips") -> Clips:
        """The rendered clips of `config`, drawn now where they are missing."""
        clips = Clips(self.folder(name), config)
        clips.fill(self.render_workers, self.out)
        return clips

    def cache(self, name: str, count: int, origin: Mapping[str, Any]) -> ShardCache:
        """The cache in a folder below the output; without `resume` one of another origin is emptied first."""
        return ShardCache(self.folder(name), count, origin, anew=not self.resume)

    def timed(self, config: LoopConfig) -> LoopConfig:
        """The same stage with its minutes scaled."""
        if config.max_minutes is None or self.minutes_scale == 1.0:
            return config
        return replace(config, max_minutes=config.max_minutes * self.minutes_scale)

    def fit(
        self,
        module: nn.Module,
        objective: Objective,
        source: Source,
        config: LoopConfig,
        folder: Path,
        *,
        hooks: Sequence[Hook] = (),
        **told: Any,
    ) -> EMA:
        """Train a stage here as `loop.fit` does, which gets `told`; its minutes are scaled."""
        if hooks and self.strategy == "fsdp" and distributed.join(self.placement.device.type).size > 1:
            self.say(f"{config.name}: fsdp shares the weights out, so no sheets are drawn")
            hooks = ()
        return fit(
            module, objective, source, self.timed(config), folder, resume=self.resume, hooks=hooks,
            placement=self.placement, strategy=self.strategy, out=self.out, **told,
        )  # fmt: skip

    def needs(self, *names: str, start: str = "", network: str = "") -> None:
        """CheckpointError where weights that a recipe reads are missing, before it begins to work.

        Likewise where the weights of `network` that it trains on from are missing, damaged or of another network.
        """
        for name in names:
            self.weight_file(name)
        if not start:
            return
        file = weights.resolve(start)
        if not file.is_file():
            raise CheckpointError(f"start is {start}, a folder; name the weight file in it that is to be trained on")
        found = loading.read_header(file).network
        if found != network:
            held = f"the network {found!r}" if found else "no network of ours"
            raise CheckpointError(f"start is {start}, which holds {held}; name weights of {network!r}")

    def weight_file(self, name: str) -> Path:
        """Verified file of trained weights, such as "nano/tae": those in `ship`, else the package's own."""
        return weights.path(name, self._home(name))

    def sha256(self, name: str) -> str:
        """Hash of trained weights, to tell which ones a cache was computed with."""
        self.needs(name)
        return weights.shipped(self._home(name))[name].sha256

    def _home(self, name: str) -> Path:
        return self.ship if name in weights.shipped(self.ship) else weights.SHIPPED_FOLDER

    def begun(self, start: str, network: str, recipe: str) -> nn.Module:
        """A network of kind `network` for `recipe` to train on from: shipped weights by name, or a file."""
        kept = self._keep(start, recipe)
        return loading.load(kept or weights.resolve(start), device="cpu", dtype=torch.float32, network=network)

    def _keep(self, start: str, recipe: str) -> Path | None:
        """The copy of a start that the export may replace, as it was when the recipe began; None where it may not."""
        copy, note = self._start(recipe)

        def write() -> None:
            if self.resume and self._ancestors(start, recipe) is not None:
                return
            note.unlink(missing_ok=True)
            file = weights.resolve(start)
            if file.resolve().parent == self.ship.resolve():
                with replacing(copy) as partial:
                    shutil.copyfile(file, partial)
                with replacing(note) as partial:
                    partial.write_text(json.dumps({"start": start, "ancestors": weights.lineage(file)}) + "\n")

        self.once(write)
        return copy if self._ancestors(start, recipe) is not None else None

    def _ancestors(self, start: str, recipe: str) -> list[dict[str, Any]] | None:
        """Those of the start that `_keep` keeps; None where it keeps none, or another."""
        copy, note = self._start(recipe)
        found = json.loads(note.read_text()) if copy.is_file() and note.is_file() else {}
        return found["ancestors"] if found.get("start") == start else None

    def _start(self, recipe: str) -> tuple[Path, Path]:
        folder = self.folder(recipe)
        return folder / "start.safetensors", folder / "start.json"

    def once(self, write: Callable[[], object]) -> None:
        """Call `write` in the first of several processes that train together; the others wait for it."""
        distributed.once(write, distributed.join(self.placement.device.type))

    def export(
        self, name: str, network: nn.Module, extra: Mapping[str, Any] | None = None, *, start: str = "", **facts: Any
    ) -> Path:
        """Write `network` in fp16 as shipped weights `name` ("nano/tae") and enter it in the manifest.

        `start` names the weights that it was trained on from: they are told there, and their steps are counted too.
        """
        ancestors: list[dict[str, Any]] = []
        if start:
            ancestors = self._ancestors(start, facts.get("recipe", "")) or weights.lineage(start)
            if "steps" in facts:
                facts["steps"] += ancestors[-1].get("steps", 0)
        # The file says by itself how it is best sampled: a copy of the folder has no manifest of ours.
        advice = {"sampling": facts["sampling"]} if "sampling" in facts else {}

        def write(file: Path) -> None:
            loading.save(network, file, extra={**advice, **(extra or {})}, dtype=torch.float16)

        self.once(lambda: self.enter(name, write, ancestors=ancestors, **facts))
        return self._file(name)

    def enter(self, name: str, write: Callable[[Path], object], **facts: Any) -> None:
        """Ship what `write` writes into the path that it is given: file and manifest change together."""
        self.ship.mkdir(parents=True, exist_ok=True)
        told = dict(self.settings)
        if self.minutes_scale != 1.0:
            told["minutes_scale"] = f"{self.minutes_scale:g}"
        with TemporaryDirectory(prefix=".", dir=self.ship) as folder:
            made = Path(folder) / self._file(name).name
            write(made)
            facts = {"network": loading.read_header(made).network, "settings": told, "commit": commit(), **facts}
            weights.register(name, self._file(name), self.ship, made=made, **facts)

    def _file(self, name: str) -> Path:
        return self.ship / f"{name.split('/')[-1]}.safetensors"

    def say(self, line: str) -> None:
        """One line for people, from the first of several processes."""
        if distributed.here().is_main:
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
