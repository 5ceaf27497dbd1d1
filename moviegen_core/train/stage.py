"""What the stages of all recipes share: how long one lasts, how far its weights move, and when it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .loop import LoopConfig
from .optim import OptimConfig
from .ranges import at_least


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Ends after `minutes` or `steps`, whichever comes first; None is no such limit, and 0 of either leaves it out."""

    minutes: float | None
    steps: int | None = None
    learning_rate: float
    warmup_steps: int
    schedule: str = "cosine"
    final_scale: float = 0.02
    ema_decay: float = 0.98
    accumulate: int = 1  # batches a step
    save_seconds: float = 120.0  # between checkpoints

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ConfigError(f"{type(self).__name__} has neither minutes nor steps, so it never ends; give it one")
        at_least(self, 0, "minutes", "steps", "learning_rate", "warmup_steps", "save_seconds")
        at_least(self, 1, "accumulate")
        if self.runs:
            self.loop(type(self).__name__, 0)  # what cannot be trained with is refused here, not once the stage begins

    @property
    def runs(self) -> bool:
        """False where the stage is left out."""
        return 0 not in (self.minutes, self.steps)

    def loop(self, name: str, seed: int, *, snapshots: tuple[float, ...] = (), **optim: Any) -> LoopConfig:
        """How a stage that runs is trained; `optim` holds more of OptimConfig's fields."""
        return LoopConfig(
            name=name,
            steps=self.steps,
            max_minutes=self.minutes,
            seed=seed,
            ema_decay=self.ema_decay,
            accumulate=self.accumulate,
            save_seconds=self.save_seconds,
            snapshots=snapshots,
            optim=OptimConfig(
                learning_rate=self.learning_rate,
                warmup_steps=self.warmup_steps,
                schedule=self.schedule,
                final_scale=self.final_scale,
                **optim,
            ),
        )
