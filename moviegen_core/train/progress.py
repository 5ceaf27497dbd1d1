"""Tells how a training run goes: a line for people on stderr, metrics.jsonl for plots."""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor


class Progress:
    """Gathers the scalars of steps and reports their means every `every_seconds`."""

    def __init__(self, name: str, metrics: Path, every_seconds: float, out: TextIO, active: bool = True) -> None:
        self.name, self.metrics, self.every_seconds, self.out, self.active = name, metrics, every_seconds, out, active
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        self.samples = 0
        self.last_step = -1
        self.last_time = time.monotonic()

    def add(self, report: Mapping[str, Tensor], samples: int = 0) -> None:
        """Take in the scalars of one batch."""
        for name, value in report.items():
            value = torch.as_tensor(value).detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] += 1
        self.samples += samples

    def tick(self, step: int, share: float, seconds: float) -> None:
        """After a step: report when it is time, `share` of the stage being done after `seconds` of training."""
        now = time.monotonic()
        if self.last_step < 0:
            self.last_step = step - 1
        if now - self.last_time < self.every_seconds and share < 1.0:
            return
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        passed = max(now - self.last_time, 1e-9)
        rate, samples = (step - self.last_step) / passed, self.samples / passed
        left = seconds * (1 - share) / share if share > 0 else float("inf")
        if self.active:
            facts = {
                "step": step,
                "seconds": round(seconds, 3),
                "steps_per_second": rate,
                "samples_per_second": samples,
            }
            self._record({**facts, **means})
            shown = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
            self.say(
                f"{self.name} {step} ({share:.0%})  {shown}  {rate:.2f} steps/s  {samples:.1f}/s  left {_clock(left)}"
            )
        self.sums, self.counts, self.samples = {}, defaultdict(int), 0
        self.last_step, self.last_time = step, now

    def finish(self, step: int, seconds: float) -> None:
        """The stage is over."""
        self.say(f"{self.name} finished: {step} steps in {_clock(seconds)}")

    def begin(self) -> None:
        """Put the metrics of an earlier run aside, as metrics-1.jsonl or the next that is free."""
        if not (self.active and self.metrics.is_file()):
            return
        names = (self.metrics.with_stem(f"{self.metrics.stem}-{number}") for number in itertools.count(1))
        self.metrics.rename(next(file for file in names if not file.exists()))

    def rewind(self, step: int) -> None:
        """Forget metrics beyond `step`: they belong to steps that will be done again."""
        if not (self.active and self.metrics.is_file()):
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except ValueError:
                continue  # the line that the kill cut short
        partial = self.metrics.with_suffix(".part")
        partial.write_text("".join(f"{line}\n" for line in kept))
        os.replace(partial, self.metrics)
        self.say(f"{self.name} resumes at step {step}")

    def say(self, line: str) -> None:
        """One line for people, from the process that speaks."""
        if self.active:
            self.out.write(line + "\n")
            self.out.flush()

    def _record(self, facts: Mapping[str, float]) -> None:
        # JSON has neither NaN nor infinity.
        told = {name: value if math.isfinite(value) else None for name, value in facts.items()}
        self.metrics.parent.mkdir(parents=True, exist_ok=True)
        with self.metrics.open("a") as stream:
            stream.write(json.dumps(told, allow_nan=False) + "\n")


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Countdown:
    """Progress of a known number of items, told every few seconds."""

    def __init__(self, name: str, total: int, done: int, out: TextIO, every_seconds: float = 15.0) -> None:
        self.name, self.total, self.done, self.out, self.every_seconds = name, total, done, out, every_seconds
        self.first, self.started = done, time.monotonic()
        self.told = self.started

    def tick(self) -> None:
        """One more item is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.told >= self.every_seconds or self.done == self.total:
            self.told = now
            rate = (self.done - self.first) / max(now - self.started, 1e-9)
            left = _clock((self.total - self.done) / rate)
            self.out.write(f"{self.name} {self.done}/{self.total}  {rate:.2f}/s  left {left}\n")
            self.out.flush()
