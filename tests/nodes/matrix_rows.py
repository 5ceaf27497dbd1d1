"""Rows of the compatibility matrix: what a case is, and how its outcome is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Missing(Exception):
    """This ComfyUI does not have the node."""


class Skipped(Exception):
    """The case cannot run on this machine; the message says why."""


class Row(NamedTuple):
    """A case: its title in the table, the table, what runs it (kit -> figure)."""

    title: str
    table: str
    run: Callable[[Any], str]


_ROWS: list[Row] = []


def case(title: str, *, table: str = "nodes") -> Callable[[Callable], Callable]:
    """Register a case of the table "nodes", "hooks" or "files"."""

    def register(run: Callable) -> Callable:
        _ROWS.append(Row(title, table, run))
        return run

    return register


def cases() -> list[Row]:
    """Every registered case, in order."""
    return list(_ROWS)


def check(holds: bool, problem: str) -> None:
    """AssertionError that says what is wrong."""
    if not holds:
        raise AssertionError(problem)
