"""Ranges of settings, checked as soon as they are made: before any work."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigError


def at_least(config: Any, least: int, *names: str) -> None:
    """ConfigError where one of the fields `names` of a dataclass is no number from `least` on; None is passed over."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not least <= value < math.inf:
            raise ConfigError(f"{type(config).__name__}.{name} is {value}, but must be at least {least}; correct it")


def above(config: Any, limit: float, *names: str) -> None:
    """ConfigError where one of the fields `names` of a dataclass is no number above `limit`; None is passed over."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not limit < value < math.inf:
            raise ConfigError(f"{type(config).__name__}.{name} is {value}, but must be above {limit}; correct it")
