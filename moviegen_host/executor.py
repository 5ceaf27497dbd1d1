"""Runs a checked graph: only what the output nodes need, each node once per changed input."""

from __future__ import annotations

import hashlib
import inspect
import logging
import uuid
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import session as sessions
from .errors import Cancelled, HostError, Problem
from .graph import Graph, Link, Node, nested
from .io import ComfyNode, Hidden, NodeOutput, Schema
from .registry import Registry, finish
from .session import NodeEvent, Session

logger = logging.getLogger(__name__)

T = TypeVar("T")
Needing = Generator[str, None, T]  # work that yields the id of each node whose result it needs next


@dataclass(frozen=True)
class Blocked:
    """Stands for a value a node refused to give; nodes that would use it do not run."""

    message: str | None


@dataclass
class Report:
    """What a run did. `shown` holds the user-interface results of output nodes by node id."""

    executed: list[str] = field(default_factory=list)  # node ids, in order
    reused: list[str] = field(default_factory=list)
    shown: dict[str, dict[str, list[Any]]] = field(default_factory=dict)


@dataclass
class _Result:
    slots: list[list[Any]]  # for each output the list of its values, usually one
    shown: dict[str, list[Any]]


class Executor:
    """Keeps results between runs when `keep` is set; otherwise each is freed after its last use."""

    def __init__(self, registry: Registry, *, keep: bool = True) -> None:
        self.registry, self.keep = registry, keep
        self._kept: dict[str, _Result] = {}

    def run(self, graph: Graph, session: Session) -> Report:
        """Executes the graph; HostError names the node that failed, Cancelled passes through."""
        import torch

        run = _Run(graph, session, self.registry, self._kept, self.keep)
        self._kept = {}  # what this graph no longer needs is freed before it runs, not after
        with sessions.active(session), torch.inference_mode():
            try:
                for node_id in graph.outputs:
                    run.need(node_id)
            finally:
                # What a failed run has computed is still good.
                self._kept = dict(run.results) if self.keep else {}
        return run.report

    def forget(self) -> None:
        """Drops the results that are kept for the next run."""
        self._kept = {}


class _Run:
    def __init__(
        self, graph: Graph, session: Session, registry: Registry, results: dict[str, _Result], keep: bool
    ) -> None:
        self.graph, self.session, self.registry, self.keep = graph, session, registry, keep
        self.report = Report()
        self.keys: dict[str, str] = {}
        self.done: set[str] = set()
        for node_id in graph.nodes:
            self.keys[node_id] = self._key(node_id)
        current = set(self.keys.values())
        self.results = {key: value for key, value in results.items() if key in current}
        self.uses = Counter(self.keys[link.node_id] for node in graph.nodes.values() for link in node.links())

    def need(self, node_id: str) -> None:
        """Makes sure the node's result is there. A loop: chains may be longer than Python's stack is deep."""
        begun = [self._obtain(node_id)]
        try:
            while begun:
                wanted = next(begun[-1], None)
                if wanted is None:
                    begun.pop()
                else:
                    begun.append(self._obtain(wanted))
        finally:
            for work in reversed(begun):
                work.close()

    def _obtain(self, node_id: str) -> Needing[None]:
        key = self.keys[node_id]
        if node_id in self.done and key in self.results:
            return
        node = self.graph.nodes[node_id]
        if key in self.results:
            if node_id not in self.report.reused:
                self.report.reused.append(node_id)
                self.session.note(NodeEvent(node_id, "reused", self.results[key].shown))
            logger.info("%s: nothing changed, its last result is used", node.title)
        else:
            self.session.check_cancelled()
            self.results[key] = yield from self._execute(node)
            self.report.executed.append(node_id)
            self.session.note(NodeEvent(node_id, "done", self.results[key].shown))
        shown = self.results[key].shown
        if shown:
            self.report.shown[node_id] = shown
        if node_id not in self.done:
            self.done.add(node_id)
            self._release(node)

    def _release(self, node: Node) -> None:
        if self.keep:
            return
        for link in node.links():
            key = self.keys[link.node_id]
            self.uses[key] -= 1
            if self.uses[key] <= 0:
                self.results.pop(key, None)
        if not self.uses[self.keys[node.id]]:
            self.results[self.keys[node.id]].slots.clear()

    def _execute(self, node: Node) -> Needing[_Result]:
        cls = self.registry.nodes[node.class_type]
        schema = self.registry.schema(node.class_type)
        assert schema is not None
        values: dict[str, list[Any]] = {}
        for name, value in node.inputs.items():
            if name not in node.lazy:
                values[name] = yield from self._value(value)
        with sessions.running(node.id, node.title):
            try:
                values |= yield from self._lazy_values(node, cls, schema, values)
                blocked = next((item for items in values.values() for item in items if isinstance(item, Blocked)), None)
                if blocked is not None:
                    return _Result([[blocked] for _ in schema.outputs], {})
                logger.info("%s: runs", node.title)
                self.session.note(NodeEvent(node.id, "started"))
                return self._call(node, cls, schema, values)
            except (KeyboardInterrupt, Cancelled, HostError):
                raise
            except (Exception, SystemExit) as error:
                from moviegen_core.memory import is_memory

                if is_memory(error):
                    line = f'"{node.title}" (node {node.id}): memory ran out; make the clip shorter or smaller'
                    raise HostError([Problem(line, node.id)]) from error
                kind = "" if _is_user_error(error) else f"{type(error).__name__}: "
                raise HostError([Problem(f'"{node.title}" (node {node.id}) failed: {kind}{error}', node.id)]) from error

    def _call(self, node: Node, cls: type[ComfyNode], schema: Schema, values: dict[str, list[Any]]) -> _Result:
        clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": self._hidden(node, schema)})
        slots: list[list[Any]] = [[] for _ in schema.outputs]
        shown: dict[str, list[Any]] = {}
        for arguments in _calls(schema, values, node.groups):
            self.session.check_cancelled()
            output = _normal(_finished(clone.execute(**arguments)), node)
            given = output.args
            if output.block_execution is not None:
                logger.warning("%s stopped what follows: %s", node.title, output.block_execution)
                given = tuple(Blocked(output.block_execution) for _ in schema.outputs)
            # Some nodes leave out trailing outputs; a missing one is None, as a link would find it.
            given = given + (None,) * (len(schema.outputs) - len(given))
            for slot, declared, value in zip(slots, schema.outputs, given, strict=False):
                if declared.is_output_list and not isinstance(value, Blocked):
                    slot.extend(value or [])
                else:
                    slot.append(value)
            ui = output.ui if isinstance(output.ui, dict) or output.ui is None else output.ui.as_dict()
            for key, items in (ui or {}).items():
                shown.setdefault(key, []).extend(items)
        return _Result(slots, shown)

    def _lazy_values(
        self, node: Node, cls: type[ComfyNode], schema: Schema, values: dict[str, list[Any]]
    ) -> Needing[dict[str, list[Any]]]:
        """Asks the node which of its lazy inputs it wants, until it wants no more."""
        lazy = {name: value for name, value in node.inputs.items() if name in node.lazy}
        known = {name: [value] for name, value in lazy.items() if not isinstance(value, Link)}
        if not lazy:
            return {}
        clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": self._hidden(node, schema)})
        while True:
            unknown = [name for name in lazy if name not in known]
            if not unknown:
                return known
            offered = values | {name: known.get(name, [None]) for name in lazy}
            wanted: set[str] = set(unknown)
            if cls.overrides("check_lazy_status"):
                wanted = set()
                for arguments in _calls(schema, offered, node.groups):
                    wanted.update(_finished(clone.check_lazy_status(**arguments)) or [])  # type: ignore[attr-defined]
            fresh = [name for name in unknown if name in wanted]
            if not fresh:
                return known | {name: [None] for name in unknown}
            for name in fresh:
                known[name] = yield from self._value(lazy[name])

    def _value(self, value: Any) -> Needing[list[Any]]:
        if not isinstance(value, Link):
            return [value]
        yield value.node_id
        return self.results[self.keys[value.node_id]].slots[value.slot]

    def _hidden(self, node: Node, schema: Schema) -> dict[Hidden, Any]:
        document = self.graph.document
        have: dict[Hidden, Any] = {
            Hidden.unique_id: node.id,
            Hidden.prompt: self.graph.prompt,
            Hidden.extra_pnginfo: None if document is None else {"workflow": document},
        }
        return {key: have.get(key) for key in schema.hidden}

    def _key(self, node_id: str) -> str:
        """Names a result by what it depends on: the node type, its values, and the keys of what it is linked to."""
        node = self.graph.nodes[node_id]
        cls, schema = self.registry.nodes[node.class_type], self.registry.schema(node.class_type)
        parts: list[Any] = [node.class_type, id(cls)]
        for name, value in sorted(node.inputs.items()):
            linked = isinstance(value, Link)
            parts.append(
                (name, self.keys[value.node_id], value.slot) if linked else (name, type(value).__name__, value)
            )
        if cls.overrides("fingerprint_inputs"):
            plain = nested({k: None if isinstance(v, Link) else v for k, v in node.inputs.items()}, node.groups)
            try:
                fingerprint = cls.fingerprint_inputs(**plain)  # type: ignore[attr-defined]
            except (Exception, SystemExit) as error:
                logger.warning("%s: it runs anew, since its fingerprint failed: %s", node.title, error)
                fingerprint = float("nan")
            # NaN differs from itself: such a node runs every time.
            parts.append(fingerprint if fingerprint == fingerprint else uuid.uuid4().hex)
        if schema is not None and (schema.not_idempotent or Hidden.unique_id in schema.hidden):
            parts.append(node_id)
        if schema is not None and schema.is_output_node:
            parts.append(str(self.session.output_directory))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _calls(schema: Schema, values: dict[str, list[Any]], groups: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Arguments of each call: one with whole lists, or one an item, shorter lists repeating their last."""
    if schema.is_input_list:
        yield nested(values, groups)
        return
    empty = [name for name, items in values.items() if not items]
    if empty:
        raise HostError(f"the list that arrives at {empty[0]} of {schema.display_name or schema.node_id} is empty")
    for index in range(max((len(items) for items in values.values()), default=1)):
        yield nested({name: items[min(index, len(items) - 1)] for name, items in values.items()}, groups)


def _finished(value: Any) -> Any:
    return finish(value) if inspect.iscoroutine(value) else value


def _normal(value: Any, node: Node) -> NodeOutput:
    if isinstance(value, NodeOutput):
        if value.expand is not None:
            raise HostError(f'"{node.title}" (node {node.id}) grows new nodes, which needs ComfyUI')
        return value
    if value is None:
        return NodeOutput()
    if isinstance(value, tuple):
        return NodeOutput(*value)
    if isinstance(value, dict):
        return NodeOutput(*value.get("result", ()), ui=value.get("ui"))
    raise HostError(f'"{node.title}" (node {node.id}) returned a {type(value).__name__}; a node returns a NodeOutput')


def _is_user_error(error: BaseException) -> bool:
    """Whether the message alone says enough: the pack's own errors and refused values."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {"MovieGenError"}) or type(error) is ValueError
