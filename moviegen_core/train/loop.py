"""The one training loop.

An objective is a function (module, batch, generator) -> {"loss": scalar, name: scalar, ...}. Batches come from a
source that gives the batch of any position, so the position is all that a resumed run needs of the data.
"""

from __future__ import annotations

import copy
import itertools
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import torch
from torch import Tensor, nn

from ..config import to_dict
from ..devices import Placement, choose
from ..errors import CheckpointError, ConfigError, MovieGenError
from . import distributed, optim, state
from .average import EMA
from .data import Objective, Source, position_seed, stream
from .progress import Progress
from .ranges import at_least

Hook = Callable[[nn.Module, Path, int], None]  # (module with averaged weights, folder for sheets, step)

CHECKPOINT, SNAPSHOT, SNAPSHOTS = "checkpoint.pt", "snapshot-{:.3f}.pt", "snapshot-*.pt"
MAX_BAD_STEPS = 20


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How one stage runs; it ends after `steps` or `max_minutes` of training, whichever comes first."""

    name: str
    steps: int | None = None
    max_minutes: float | None = None
    seed: int = 0
    optim: optim.OptimConfig = field(default_factory=optim.OptimConfig)
    accumulate: int = 1
    ema_decay: float = 0.999
    workers: int = 0
    save_seconds: float = 120.0
    log_seconds: float = 10.0
    sheet_seconds: float = 300.0
    snapshots: tuple[float, ...] = ()  # shares of the stage after which averaged weights are kept aside
    keep_frozen: bool = True  # False: checkpoints leave out what is not trained, which the caller loads anyway

    def __post_init__(self) -> None:
        if self.steps is None and self.max_minutes is None:
            raise ConfigError(f"stage {self.name} has no end; give it steps or max_minutes")
        for limit in self.limits:
            if limit is not None and not 0 < limit < math.inf:
                raise ConfigError(f"stage {self.name} is to end after {limit}; give a limit above 0, or null for none")
        at_least(self, 0, "seed", "workers", "save_seconds", "log_seconds", "sheet_seconds")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"stage {self.name} has ema_decay {self.ema_decay}; at least 0 and below 1 is needed")
        if self.accumulate < 1:
            raise ConfigError(f"stage {self.name} accumulates {self.accumulate} batches a step; at least 1 is needed")

    @property
    def limits(self) -> list[float | None]:
        """Steps and minutes after which the stage ends."""
        return [self.steps, self.max_minutes]

    @property
    def facts(self) -> dict[str, Any]:
        """What it is trained with (plain values): all but its limits and how it is run."""
        others = {"accumulate": self.accumulate, "ema_decay": self.ema_decay, "snapshots": list(self.snapshots)}
        return {**to_dict(self.optim), **others}


class Stopped(MovieGenError):
    """The run was asked to stop and has saved itself."""


class _Wrapped(nn.Module):
    """A module whose forward is its objective: what gradient sharing over processes needs."""

    def __init__(self, module: nn.Module, objective: Objective, shared: bool) -> None:
        super().__init__()
        self.module, self.objective, self.shared = module, objective, shared

    def forward(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        report = self.objective(self.module, batch, generator)
        return {**report, "loss": distributed.asked(report["loss"], self.module)} if self.shared else report


def fit(
    module: nn.Module,
    objective: Objective,
    source: Source,
    config: LoopConfig,
    output: Path,
    *,
    resume: bool = True,
    hooks: Sequence[Hook] = (),
    companions: Mapping[str, Any] | None = None,
    basis: Mapping[str, Any] | None = None,
    placement: Placement | None = None,
    strategy: str = "ddp",
    out: TextIO = sys.stderr,
) -> EMA:
    """Train `module` in place and give the averaged weights; `output` holds checkpoint, metrics.jsonl, sheets.

    With `resume` a checkpoint in `output` is continued to the bit; a finished stage returns at once, or goes on where
    its limits have grown. CheckpointError where it began with other weights than `module` has now, trained others of
    them or on another `basis` (plain values by name, as of `basis_of`), or was finished with other settings. SIGINT and
    SIGTERM save after the step at hand and raise Stopped. `companions` are what the objective trains by itself (a
    discriminator, say): their state_dicts are saved and restored with the rest. Metrics of a run that is not continued
    are kept as metrics-1.jsonl and so on. Several processes share gradients ("ddp") or a copy of the weights too
    ("fsdp"); each has the whole trained module afterwards.
    """
    placement = placement or choose()
    shared = distributed.shards(strategy, distributed.join(placement.device.type))
    trained = copy.deepcopy(module) if shared else module
    trainer = Trainer(
        trained, objective, source, config, output, placement, strategy, out, companions or {}, basis or {}
    )
    if resume and trainer.checkpoint.is_file():
        trainer.restore()
    trainer.run(hooks)
    return trainer.gathered(module) if shared else trainer.ema


def forget(folder: Path, patterns: Sequence[str] = (CHECKPOINT, SNAPSHOTS)) -> None:
    """Delete what training left in `folder` and below: checkpoints and snapshots; metrics and sheets stay."""
    for pattern in patterns:
        for file in list(folder.rglob(pattern)):
            file.unlink()


class Trainer:
    """The state of one stage, and the loop over it."""

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        source: Source,
        config: LoopConfig,
        output: Path,
        placement: Placement,
        strategy: str = "ddp",
        out: TextIO = sys.stderr,
        companions: Mapping[str, Any] = MappingProxyType({}),
        basis: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.companions, self.basis = companions, dict(basis)
        self.world = distributed.join(placement.device.type)
        for thing in companions.values():
            distributed.align(thing.state_dict(), self.world)
        self.config, self.source, self.output, self.placement = config, source, output, placement
        self.module = module.to(placement.device)
        self.began = state.probe(module)
        shared = distributed.shards(strategy, self.world)
        self.wrapped = distributed.wrap(_Wrapped(module, objective, shared), self.world, strategy)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = optim.build(module, config.optim, placement.dtype)
        self.ema = EMA(module, config.ema_decay)
        self.strategy, self.checkpoint = strategy, output / CHECKPOINT
        self.progress = Progress(config.name, output / "metrics.jsonl", config.log_seconds, out, self.world.is_main)
        self.step = self.bad_steps = 0
        self.positions = 0  # of the source, used by all processes together
        self.seconds = 0.0
        self.done = False
        state.seed_everything(config.seed)

    @property
    def share(self) -> float:
        """How much of the stage is done, in [0, 1]."""
        by_step = self.step / self.config.steps if self.config.steps else 0.0
        by_time = self.seconds / 60 / self.config.max_minutes if self.config.max_minutes else 0.0
        return min(1.0, max(by_step, by_time))

    def run(self, hooks: Sequence[Hook] = ()) -> None:
        """Train until the stage is over, or Stopped on a signal; ConfigError for hooks where fsdp shares weights."""
        if self.done:
            return
        if hooks and distributed.shards(self.strategy, self.world):
            raise ConfigError("hooks look at whole weights, which fsdp shares out; leave them out, or train with ddp")
        if self.step == 0:
            self.progress.begin()
        self.module.train()
        pinned = self.placement.device.type == "cuda"
        batches = stream(self.source, self._positions(), self.config.workers, pinned=pinned)
        saved = sheeted = time.monotonic()
        with _signals() as asked:
            while self.share < 1.0:
                began, share = time.monotonic(), self.share
                self._optimise(batches)
                now = time.monotonic()
                # Clocks differ: the latest is everybody's, so that all take the same rate and end at the same step.
                told = [self.seconds + now - began, bool(asked), now - saved >= self.config.save_seconds]
                self.seconds, stopped, due = distributed.most(told, self.world)
                self._snapshot(share, self.share)
                self.progress.tick(self.step, self.share, self.seconds)
                if stopped:
                    self.save()
                    raise Stopped(
                        f"{self.config.name} stopped at step {self.step} and saved; to go on, repeat the command "
                        "without --no-resume"
                    )
                if due:
                    self.save()
                    saved = time.monotonic()
                if hooks and now - sheeted >= self.config.sheet_seconds:
                    self._show(hooks)
                    sheeted = time.monotonic()
            self.done = True
            self.save()
            self._show(hooks)
            self.progress.finish(self.step, self.seconds)

    def _positions(self) -> Iterator[int]:
        return itertools.count(self.positions + self.world.rank, self.world.size)

    def _optimise(self, batches: Iterator[tuple[int, dict[str, Tensor]]]) -> None:
        """One step: `accumulate` batches, their mean gradient clipped, weights and averages moved."""
        config, device = self.config, self.placement.device
        optim.set_rate(
            self.optimizer, config.optim.learning_rate * optim.rate_scale(config.optim, self.step, self.share)
        )
        for number in range(1, config.accumulate + 1):
            position, batch = next(batches)
            # The draws of a batch depend on its position alone: nothing to save, nothing that a kill can shift.
            generator = torch.Generator().manual_seed(position_seed(config.seed, position))
            batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            with distributed.sharing(self.wrapped, number == config.accumulate):
                with torch.autocast(device.type, self.placement.dtype, enabled=self.placement.dtype != torch.float32):
                    report = self.wrapped(batch, generator)
                (report["loss"] / config.accumulate).backward()
            self.progress.add(report, next(iter(batch.values())).shape[0])
        norm = nn.utils.clip_grad_norm_(self.parameters, config.optim.clip_norm)
        self.progress.add({"grad_norm": norm, "rate": torch.tensor(self.optimizer.param_groups[0]["lr"])})
        self._move(bool(torch.isfinite(norm)))
        self.optimizer.zero_grad(set_to_none=True)
        self.positions += config.accumulate * self.world.size
        self.step += 1

    def _move(self, finite: bool) -> None:
        self.bad_steps = 0 if finite else self.bad_steps + 1
        if finite:
            self.optimizer.step()
            self.ema.update(self.module)
        elif self.bad_steps >= MAX_BAD_STEPS:
            raise MovieGenError(
                f"{self.config.name}: {MAX_BAD_STEPS} steps in a row had no finite gradient (step {self.step}); "
                "lower the learning rate and resume from the last checkpoint"
            )

    def _show(self, hooks: Sequence[Hook]) -> None:
        if not self.world.is_main:
            return
        folder = self.output / "sheets"
        folder.mkdir(parents=True, exist_ok=True)
        # Sheets must not disturb the run: their random draws are taken back.
        states = state.random_states()
        self.module.eval()
        with self.ema.applied(self.module), torch.inference_mode():
            for hook in hooks:
                hook(self.module, folder, self.step)
        self.module.train()
        state.set_random_states(states)

    def _snapshot(self, before: float, now: float) -> None:
        for mark in self.config.snapshots:
            if before < mark <= now:
                shadow = {name: distributed.whole(value) for name, value in self.ema.shadow.items()}
                if self.world.is_main:
                    state.save(self.output / SNAPSHOT.format(mark), {**self.ema.state_dict(), "shadow": shadow})

    def save(self) -> None:
        """Write the checkpoint."""
        network, optimizer, shadow = distributed.gather(self.module, self.optimizer, self.ema.shadow, self.world)
        if self.world.is_main:
            if not self.config.keep_frozen:
                network = {name: value for name, value in network.items() if name not in self._frozen()}
            facts = {"step": self.step, "seconds": self.seconds, "done": self.done, "seed": self.config.seed}
            facts["positions"] = self.positions
            parts = {"module": network, "optimizer": optimizer, "ema": {"updates": self.ema.updates, "shadow": shadow}}
            parts["companions"] = {name: thing.state_dict() for name, thing in self.companions.items()}
            origin = {"name": self.config.name, "began": self.began, "limits": self.config.limits}
            origin |= {"facts": self.config.facts, "basis": self.basis}
            state.save(self.checkpoint, {**facts, **parts, **origin, "random": state.random_states()})

    def gathered(self, module: nn.Module) -> EMA:
        """Give `module`, which every process has whole, what was trained of its copy -> its averaged weights."""
        module.load_state_dict({name: distributed.whole(value) for name, value in self.module.state_dict().items()})
        ema = EMA(module, self.config.ema_decay)
        shadow = {name: distributed.whole(value) for name, value in self.ema.shadow.items()}
        ema.load_state_dict({"updates": self.ema.updates, "shadow": shadow})
        return ema

    def _frozen(self) -> set[str]:
        """Names of the parameters that are not trained."""
        return {name for name, parameter in self.module.named_parameters() if not parameter.requires_grad}

    def restore(self) -> None:
        """Continue from the checkpoint in the output folder; CheckpointError for that of another training."""
        saved: dict[str, Any] = state.load(self.checkpoint)
        if (saved["name"], saved["seed"]) != (self.config.name, self.config.seed):
            raise CheckpointError(
                f"{self.checkpoint} is of stage {saved['name']} with seed {saved['seed']}, not of {self.config.name} "
                f"with seed {self.config.seed}; choose another output folder"
            )
        self._compare(saved)
        network = saved["module"]
        if not self.config.keep_frozen:
            own = self.module.state_dict()
            network = {**{name: own[name] for name in self._frozen()}, **network}
        settings = [{key: group[key] for key in group if key != "params"} for group in self.optimizer.param_groups]
        distributed.scatter(self.module, self.optimizer, network, saved["optimizer"], self.world)
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)  # those saved with the moments may be older
        self.ema.load_state_dict(saved["ema"])
        for name, thing in self.companions.items():
            thing.load_state_dict(saved["companions"][name])
        self.step, self.seconds = saved["step"], saved["seconds"]
        # Older checkpoints do not tell how far the data were used; then all was as it is now.
        self.positions = saved.get("positions", self.step * self.config.accumulate * self.world.size)
        self.done = self._is_over(saved)
        if not self.done and saved.get("limits", self.config.limits) != self.config.limits and self.world.is_main:
            forget(self.output, [SNAPSHOTS])  # they were taken at other shares of the stage
        state.set_random_states(saved["random"])
        self.progress.rewind(self.step)
        passed = [mark for mark in self.config.snapshots if mark <= self.share]
        missing = [mark for mark in passed if not (self.output / SNAPSHOT.format(mark)).is_file()]
        if missing:
            self.progress.say(
                f"{self.config.name} has no snapshots at {', '.join(map(str, missing))} of the stage, which it passed "
                f"under other settings: an average goes without them; delete {self.output} to train it with all"
            )

    def _compare(self, saved: Mapping[str, Any]) -> None:
        """CheckpointError unless what was saved began as this stage does; older checkpoints do not tell."""
        changed = [name for name, value in saved.get("basis", {}).items() if self.basis.get(name) != value]
        if changed:
            self._refuse(f"with another {', '.join(changed)}")
        if not state.alike(saved.get("began", self.began), self.began):
            self._refuse("from other weights than it begins with now")
        same = saved["ema"]["shadow"].keys() == self.ema.shadow.keys()
        same = same and saved.get("companions", {}).keys() == self.companions.keys()
        if not same or _groups(saved["optimizer"]["param_groups"]) != _groups(self.optimizer.param_groups):
            self._refuse("with other parameters or another optimiser")

    def _is_over(self, saved: Mapping[str, Any]) -> bool:
        """Whether a saved stage is finished as it is asked for now; CheckpointError where it is in another way."""
        limits, facts, before = self.config.limits, self.config.facts, saved.get("limits")
        if not saved["done"] or (before != limits and self.share < 1.0):
            return False
        reached = zip(limits, before or limits, (self.step, self.seconds / 60), strict=True)
        if any(limit is not None and limit != old and amount > limit for limit, old, amount in reached):
            self._refuse("to its end and beyond the limits of now")
        changed = [name for name, value in saved.get("facts", facts).items() if facts.get(name) != value]
        if changed:
            self._refuse(f"to its end with another {', '.join(changed)}")
        return True

    def _refuse(self, how: str) -> NoReturn:
        raise CheckpointError(
            f"{self.output} holds the stage {self.config.name}, trained {how}; delete that folder to train the stage "
            "again, or train all anew with --no-resume"
        )


def _groups(groups: Sequence[Mapping[str, Any]]) -> list[tuple[int, Any]]:
    """Sizes of an optimiser's groups, and which of them move by Muon."""
    return [(len(group["params"]), group.get("orthogonal")) for group in groups]


@contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM arrives; a second SIGINT interrupts at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
