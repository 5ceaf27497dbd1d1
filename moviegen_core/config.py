"""Frozen dataclass <-> plain dict, as stored in checkpoint metadata and recipe files."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import ConfigError

C = TypeVar("C")


def to_dict(config: Any) -> dict[str, Any]:
    """Dataclass -> JSON-ready dict; nested dataclasses become dicts, tuples lists."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
    """Dict -> dataclass `cls`; raises ConfigError that names every unknown or missing key."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{cls.__name__} has no field {', '.join(unknown)}; it has {', '.join(fields)}")
    missing = sorted(
        name
        for name, field in fields.items()
        if name not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    if missing:
        raise ConfigError(f"{cls.__name__} needs {', '.join(missing)}; add the missing values")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _restore(value, hints[name]) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _restore(value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _restore(value, next(argument for argument in arguments if argument is not type(None)))
    if origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[0] if arguments else Any
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_restore(item, inner) for item in value)
        return tuple(_restore(item, kind) for item, kind in zip(value, arguments, strict=False))
    if origin is dict and isinstance(value, Mapping):
        return {key: _restore(item, arguments[1]) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value)  # type: ignore[arg-type]
    return value
