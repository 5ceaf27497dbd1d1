"""Ranges of settings, checked as soon as they are made: before any work."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError


def at_least(config: Any, least: int, *names: str) -> None:
    """ConfigError where one of the fields `names` of a dataclass lies below `least`."""
    for name in names:
        if getattr(config, name) < least:
            raise ConfigError(
                f"{type(config).__name__}.{name} is {getattr(config, name)}, but must be at least {least}; correct it"
            )
