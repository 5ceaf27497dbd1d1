"""Runs a workflow from start to end: read, set, check, execute."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import session as sessions
from .errors import HostError, Problem
from .executor import Executor, Report
from .graph import Graph, check
from .registry import Registry, fill, pack_folders
from .session import Progress, Session
from .settings import Setting, apply_settings, list_settings
from .workflow import read_workflow


@dataclass(frozen=True)
class Result:
    """Files that a run wrote, and what it did."""

    written: list[Path]
    report: Report


class Host:
    """Node packs in one process; `run` may be called often and computes only what changed.

    `packs` are folders of node packs; without them the pack this host came with is used. With `load=False` they are
    read by a later call of `load`, before which nothing can run.
    """

    def __init__(
        self,
        packs: Iterable[str | Path] | None = None,
        *,
        output: str | Path = "out",
        input_directory: str | Path | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        keep: bool = True,
        load: bool = True,
    ) -> None:
        self.session = Session(Path(output), Path(input_directory or "."), on_progress)
        self.packs = pack_folders(packs)
        self.registry = Registry()
        self.executor = Executor(self.registry, keep=keep)
        if load:
            self.load()

    def load(self) -> None:
        """Reads the node packs; HostError when a folder holds none."""
        fill(self.registry, self.packs)

    @property
    def cancel(self) -> threading.Event:
        """Set it from any thread to stop the run at the next report of a node."""
        return self.session.cancel

    def run(self, workflow: str | Path | dict[str, Any], settings: Mapping[str, Any] | None = None) -> Result:
        """Runs a file (UI or API format, or a film or picture that carries one); HostError before anything runs."""
        with sessions.active(self.session):
            graph = self.checked(workflow, settings)
            first = len(self.session.written)
            report = self.executor.run(graph, self.session)
        return Result(self.session.written[first:], report)

    def checked(
        self,
        workflow: str | Path | dict[str, Any],
        settings: Mapping[str, Any] | None = None,
        *,
        targets: Iterable[str] | None = None,
    ) -> Graph:
        """The graph of all output nodes, or of the `targets` among them, ready to run; HostError with every problem."""
        with sessions.active(self.session):
            self.registry.refresh()
            loaded = read_workflow(workflow, self.registry)
            apply_settings(loaded, settings or {}, self.registry)
            graph = check(loaded, self.registry, targets)
            check_targets(graph, self.session)
        return graph

    def settings(self, workflow: str | Path | dict[str, Any]) -> list[Setting]:
        """What `run` could be given for this workflow."""
        with sessions.active(self.session):
            return list_settings(read_workflow(workflow, self.registry), self.registry)


def check_targets(graph: Graph, session: Session) -> None:
    """HostError, before the work, for every node that could not save its result after it."""
    from moviegen_core.files import in_the_way

    problems = []
    for node in graph.nodes.values():
        prefix = node.inputs.get("filename_prefix")
        if not isinstance(prefix, str):
            continue
        try:
            blocked = in_the_way(session.target(prefix))
        except HostError as error:
            problems.append(Problem(f'"{node.title}" (node {node.id}): {error}', node.id, "filename_prefix"))
            continue
        if blocked:
            line = f'"{node.title}" (node {node.id}) cannot save: {blocked} is no writable folder; choose another'
            problems.append(Problem(line, node.id, "filename_prefix"))
    if problems:
        raise HostError(problems)


def run(
    workflow: str | Path | dict[str, Any],
    settings: Mapping[str, Any] | None = None,
    output: str | Path = "out",
    *,
    input_directory: str | Path | None = None,
    packs: Iterable[str | Path] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Result:
    """One run in a fresh host; files of load nodes are looked for in `input_directory`, else beside the workflow."""
    if input_directory is None and not isinstance(workflow, dict):
        input_directory = Path(workflow).parent
    host = Host(packs, output=output, input_directory=input_directory, on_progress=on_progress, keep=False)
    return host.run(workflow, settings)
