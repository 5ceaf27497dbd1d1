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
    return cls(**{name: fitting(f"{cls.__name__}.{name}", value, hints[name]) for name, value in values.items()})


def fitting(name: str, value: Any, hint: Any) -> Any:
    """A plain value as the type `hint` wants it; ConfigError tells what `name` needs instead."""
    restored = _restore(value, hint)
    if not _fits(restored, hint):
        raise ConfigError(f"{name} is {restored!r}, but needs {_said(hint)}; correct it")
    return restored


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
        if len(value) != len(arguments):
            return tuple(value)
        return tuple(_restore(item, kind) for item, kind in zip(value, arguments, strict=True))
    if origin in MAPPINGS and isinstance(value, Mapping):
        return {key: _restore(item, arguments[1]) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value)  # type: ignore[arg-type]
    return value


MAPPINGS = (dict, Mapping)  # kinds of fields
PLAIN = {int: (int,), float: (int, float), bool: (bool,), str: (str,)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has the type of its field; what is no plain type is left to the field's own class."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(value is None if argument is type(None) else _fits(value, argument) for argument in arguments)
    if origin is tuple and isinstance(value, tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if origin in MAPPINGS and isinstance(value, origin):
        return all(_fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items())
    if origin in (tuple, *MAPPINGS) or dataclasses.is_dataclass(hint):
        return isinstance(value, origin or hint)
    if hint not in PLAIN:
        return True
    return isinstance(value, PLAIN[hint]) and (hint is bool or not isinstance(value, bool))


def _said(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for part in parts:
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            names[part] = f"values by name ({', '.join(field.name for field in dataclasses.fields(part))})"
    return " or ".join(names.get(part, _plain_name(part)) for part in parts)


def _plain_name(hint: Any) -> str:
    return str(hint).replace("typing.", "").replace("collections.abc.Mapping", "dict")
