"""What can be wrong with a workflow or its run; every problem is one line a user can act on."""

from __future__ import annotations

from collections.abc import Iterable


class Problem(str):
    """One line that may know which node, and which of its inputs, it is about."""

    node_id: str | None
    input_name: str | None

    def __new__(cls, text: str, node_id: str | None = None, input_name: str | None = None) -> Problem:
        """`node_id` is the id in the prompt."""
        problem = super().__new__(cls, text)
        problem.node_id, problem.input_name = node_id, input_name
        return problem


class HostError(Exception):
    """A workflow, setting or pack cannot be used; `problems` holds one line each."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Cancelled(Exception):
    """The run was stopped by the user; raised from the node that next reports progress."""
