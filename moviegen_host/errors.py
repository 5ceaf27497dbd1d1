"""What can be wrong with a workflow or its run; every problem is one line a user can act on."""

from __future__ import annotations

from collections.abc import Iterable


class HostError(Exception):
    """A workflow, setting or pack cannot be used; `problems` holds one line each."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Cancelled(Exception):
    """The run was stopped by the user; raised from the node that next reports progress."""
