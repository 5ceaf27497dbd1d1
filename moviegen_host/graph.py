"""Checks a prompt against the node types before anything runs: all problems at once, each with its remedy."""

from __future__ import annotations

import difflib
import inspect
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import comfy_api
from .errors import HostError, Problem
from .io import Autogrow, Combo, DynamicCombo, DynamicInput, Input, MatchType, MultiType, Schema
from .registry import Registry, expanded
from .workflow import Workflow, label

logger = logging.getLogger(__name__)

SHOWN_CHOICES = 12  # in an error about a combo
BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Link:
    """The result `slot` of another node."""

    node_id: str
    slot: int


@dataclass(frozen=True)
class Node:
    """A checked node: values have their types, links lead to results that fit."""

    id: str
    class_type: str
    title: str
    inputs: dict[str, Any]  # dotted name -> value or Link
    lazy: frozenset[str] = frozenset()  # names that are computed only on demand
    groups: frozenset[str] = frozenset()  # names of dynamic inputs, which arrive as dicts

    def links(self) -> list[Link]:
        """All results this node may ask for."""
        return [value for value in self.inputs.values() if isinstance(value, Link)]


@dataclass(frozen=True)
class Graph:
    """Nodes that the output nodes need, and the prompt and workflow that files will carry."""

    nodes: dict[str, Node]  # each after those it needs
    outputs: list[str]  # ids of output nodes, in the order of the file
    prompt: dict[str, Any]
    document: dict[str, Any] | None


def check(workflow: Workflow, registry: Registry, targets: Iterable[str] | None = None) -> Graph:
    """Workflow -> graph of all output nodes, or of the `targets` among them; HostError with every problem found."""
    return _Checker(workflow, registry).run(targets)


def as_link(value: Any) -> Link | None:
    """A link when a prompt's value is ["id", slot]."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) and type(value[1]) is int:
        return Link(str(value[0]), value[1])
    return None


class _Checker:
    def __init__(self, workflow: Workflow, registry: Registry) -> None:
        self.workflow, self.registry = workflow, registry
        self.prompt = workflow.prompt
        self.problems: list[str] = []
        self.nodes: dict[str, Node] = {}

    def run(self, targets: Iterable[str] | None) -> Graph:
        self._replace_old_nodes()
        for node_id, node in self.prompt.items():
            if self.registry.schema(node["class_type"]) is None:
                hint = self.registry.nearest(node["class_type"]) or "; delete the node"
                self._refuse(
                    f"{label(node_id, node)}: the node type {node['class_type']} is not installed here{hint}, "
                    "or run this workflow in ComfyUI",
                    node_id,
                )
        known = {key: self.registry.schema(node["class_type"]) for key, node in self.prompt.items()}
        outputs = [key for key, schema in known.items() if schema is not None and schema.is_output_node]
        if targets is not None:
            outputs = [key for key in outputs if key in set(targets)]
        if not outputs and None not in known.values():
            self.problems.append("nothing would be saved or shown; add an output node, such as Save Video")
        for node_id in outputs:
            self._visit(node_id)
        if self.problems:
            raise HostError(dict.fromkeys(self.problems))
        return Graph(self.nodes, outputs, self.prompt, self.workflow.document)

    def _refuse(self, text: str, node_id: str, input_name: str | None = None) -> None:
        self.problems.append(Problem(text, node_id, input_name))

    def _replace_old_nodes(self) -> None:
        for node in self.prompt.values():
            rule = comfy_api.replacements.get(node["class_type"])
            if rule is None or self.registry.schema(node["class_type"]) is not None:
                continue
            node["class_type"] = rule.new_node_id
            renamed = {}
            for entry in rule.input_mapping:
                if "set_value" in entry:
                    renamed[entry["new_id"]] = entry["set_value"]
                elif entry["old_id"] in node["inputs"]:
                    renamed[entry["new_id"]] = node["inputs"][entry["old_id"]]
            node["inputs"] = renamed
            moved = {entry["old_idx"]: entry["new_idx"] for entry in rule.output_mapping}
            ids = [key for key, value in self.prompt.items() if value is node]
            for other in self.prompt.values():
                for value in other["inputs"].values():
                    link = as_link(value)
                    if link is not None and link.node_id in ids:
                        value[1] = moved.get(link.slot, link.slot)

    def _visit(self, node_id: str) -> None:
        """Checks a node and all that it needs. A loop: chains may be longer than Python's stack is deep."""
        path: dict[str, Iterator[Link]] = {}  # from the node to the one at hand, with the links still to follow
        self._enter(node_id, path)
        while path:
            last = next(reversed(path))
            link = next(path[last], None)
            if link is None:
                del path[last]
                self.nodes[last] = self.nodes.pop(last)  # it moves behind what it needs
            elif link.node_id in path:
                ids = list(path)
                circle = [*ids[ids.index(link.node_id) :], link.node_id]
                names = " -> ".join(label(one, self.prompt[one]) for one in circle)
                self._refuse(f"links run in a circle: {names}; take one of them out", link.node_id)
            else:
                self._enter(link.node_id, path)

    def _enter(self, node_id: str, path: dict[str, Iterator[Link]]) -> None:
        node = self.prompt[node_id]
        schema = self.registry.schema(node["class_type"])
        if schema is not None and node_id not in self.nodes:
            self.nodes[node_id] = checked = self._node(node_id, node, schema)
            path[node_id] = iter(checked.links())

    def _node(self, node_id: str, node: dict[str, Any], schema: Schema) -> Node:
        where, given = label(node_id, node), node["inputs"]
        custom, unchecked = _custom_check(self.registry.nodes[node["class_type"]])
        values: dict[str, Any] = {}
        problems_before = len(self.problems)
        inputs = expanded(schema, _with_defaults(schema, given))
        for name, one in inputs:
            if isinstance(one, DynamicInput) and not isinstance(one, DynamicCombo.Input):
                continue
            if (node_id, name) in self.workflow.broken:
                self._refuse(self.workflow.broken[node_id, name], node_id, name)
                continue
            if name not in given:
                default = getattr(one, "default", None)
                if default is None and isinstance(one, Combo.Input) and one.options:
                    default = one.options[0]
                if one.has_widget and default is not None:
                    values[name] = default
                elif not one.optional:
                    self._refuse(
                        f"{where}: the input {name} is not connected; connect {_types(one)} to it", node_id, name
                    )
                continue
            link = as_link(given[name])
            if link is not None:
                if self._link(node_id, where, name, one, link):
                    values[name] = link
            else:
                try:
                    values[name] = coerced(one, given[name], checked=unchecked is not None and name not in unchecked)
                except ValueError as reason:
                    self._refuse(f"{where}: {name} {reason}", node_id, name)
        self._unknown_names(node_id, where, schema, given, [name for name, _ in inputs], values)
        groups = frozenset(
            name
            for name, one in inputs
            if isinstance(one, Autogrow.Input) or (isinstance(one, DynamicCombo.Input) and name in values)
        )
        if custom is not None and len(self.problems) == problems_before:
            self._custom(node_id, where, custom, values, groups)
        title = node["_meta"].get("title") or schema.display_name or schema.node_id
        lazy = frozenset(name for name, one in inputs if one.lazy)
        return Node(node_id, node["class_type"], title, values, lazy, groups)

    def _link(self, node_id: str, where: str, name: str, one: Input, link: Link) -> bool:
        if not self._known(node_id, where, name, link):
            return False
        source = self.prompt[link.node_id]
        schema = self.registry.schema(source["class_type"])
        if schema is None:
            return False
        origin = label(link.node_id, source)
        if not 0 <= link.slot < len(schema.outputs):
            self._refuse(
                f"{where}: {name} wants output {link.slot} of {origin}, which has {len(schema.outputs)}; "
                "connect it again",
                node_id,
                name,
            )
            return False
        output, wanted = schema.outputs[link.slot], one.accepts()
        given = {"*"} if isinstance(output, MatchType.Output) else set(output.io_type.split(","))
        if "*" in given or "*" in wanted or given & wanted:
            return True
        kind = _types(one)
        self._refuse(
            f"{where}: {name} takes {kind}, but {origin} gives {output.io_type}; connect {kind}", node_id, name
        )
        return False

    def _known(self, node_id: str, where: str, name: str, link: Link) -> bool:
        if link.node_id in self.prompt:
            return True
        origin = f"{name} comes from node {link.node_id}"
        self._refuse(f"{where}: {origin}, which is not in the file; connect it again", node_id, name)
        return False

    def _unknown_names(
        self,
        node_id: str,
        where: str,
        schema: Schema,
        given: Mapping[str, Any],
        known: list[str],
        values: dict[str, Any],
    ) -> None:
        for name in given:
            if name in known:
                continue
            if schema.accept_all_inputs:
                link = as_link(given[name])
                if link is None or self._known(node_id, where, name, link):
                    values[name] = link or given[name]
                continue
            close = difflib.get_close_matches(name, known, 1)
            if close or as_link(given[name]) is not None:
                hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'no inputs'}"
                self._refuse(f"{where}: there is no input {name}; {hint}", node_id, name)
            else:
                # Frontends write the state of buttons and players among the inputs.
                logger.info("%s: ignored the value of %s, which is no input here", where, name)

    def _custom(self, node_id: str, where: str, method: Any, values: Mapping[str, Any], groups: Iterable[str]) -> None:
        parameters = inspect.signature(method).parameters
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        plain = {name: None if isinstance(value, Link) else value for name, value in values.items()}
        arguments = nested(plain, groups)
        try:
            answer = method(**{name: value for name, value in arguments.items() if takes_all or name in parameters})
        except HostError as refusal:
            answer = str(refusal)
        except (Exception, SystemExit) as error:
            answer = f"its own check failed: {type(error).__name__}: {error}"
        if answer is not True:
            reason = answer if isinstance(answer, str) else "its inputs do not fit together"
            self._refuse(f"{where}: {reason}", node_id)


def _custom_check(node: Any) -> tuple[Any, set[str] | None]:
    """A node's own check and the input names whose built-in checks it takes over; None for all of them."""
    if not node.overrides("validate_inputs"):
        return None, set()
    parameters = inspect.signature(node.validate_inputs).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return node.validate_inputs, None
    return node.validate_inputs, set(parameters)


def _with_defaults(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the first choice of dynamic combos that have none, so that their sub-inputs are known."""
    values = dict(given)
    while True:
        missing = [
            (name, one)
            for name, one in expanded(schema, values)
            if isinstance(one, DynamicCombo.Input) and name not in values and not one.optional
        ]
        if not missing:
            return values
        values |= {name: one.default for name, one in missing}


def coerced(one: Input, value: Any, *, checked: bool = True) -> Any:
    """A typed value as the node will get it; ValueError says what is wrong and what to do."""
    if isinstance(one, MultiType.Input) and one.widget is not None:
        one = one.widget
    if isinstance(one, DynamicCombo.Input):
        return _choice(value, [option.key for option in one.options])
    if isinstance(one, Combo.Input):
        return _combo(one, value, checked)
    kind = one.io_type
    if kind == "BOOLEAN":
        if isinstance(value, str) and value.lower() in BOOLEANS:
            return BOOLEANS[value.lower()]
        if not isinstance(value, (bool, int)):
            raise ValueError(f"is {value!r}; it needs true or false")
        return bool(value)
    if kind in ("INT", "FLOAT"):
        return _number(one, value, checked)
    if kind == "STRING":
        return value if isinstance(value, str) else str(value)
    if not one.has_widget and value is not None:
        raise ValueError(f"is the value {str(value)[:40]!r}; it needs a link that gives {_types(one)}")
    return value


def _types(one: Input) -> str:
    return one.get_io_type().replace(",", " or ")


def _number(one: Any, value: Any, checked: bool) -> float | int:
    whole = one.io_type == "INT"
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(value) if whole and isinstance(value, (int, str)) else float(value)
        if whole and number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"is {value!r}; it needs a {'whole ' if whole else ''}number") from None
    if whole:
        number = int(number)
    # A whole number is finite, and may be too large for a float.
    if checked and not whole and not math.isfinite(number):
        raise ValueError(f"is {value!r}; it needs a finite number")
    if checked and one.min is not None and number < one.min:
        raise ValueError(f"is {number}, below the least value {one.min}; raise it")
    if checked and one.max is not None and number > one.max:
        raise ValueError(f"is {number}, above the greatest value {one.max}; lower it")
    return number


def _combo(one: Any, value: Any, checked: bool) -> Any:
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    if one.multiselect:
        if not isinstance(value, list):
            raise ValueError(f"is {value!r}; it needs a list of choices")
        return [_choice(item, one.options) for item in value] if checked else value
    if not checked and not isinstance(value, str) and value not in one.options:
        raise ValueError(f"is {str(value)[:40]!r}; it needs one choice")
    return _choice(value, one.options) if checked else value


def _choice(value: Any, options: list[Any]) -> Any:
    if value in options:
        return value
    by_text = {str(option): option for option in options}
    if str(value) in by_text:
        return by_text[str(value)]
    if not options:
        raise ValueError(f"is {value!r}, but there is nothing to choose from; put a file into the input folder")
    shown = ", ".join(map(str, options[:SHOWN_CHOICES])) + (", ..." if len(options) > SHOWN_CHOICES else "")
    raise ValueError(f"is {value!r}, which is none of the choices; choose from {shown}")


def nested(values: Mapping[str, Any], groups: Iterable[str] = ()) -> dict[str, Any]:
    """Dotted names -> what `execute` gets: {"a": "mp4", "a.crf": 20} -> {"a": {"a": "mp4", "crf": 20}}.

    `groups` are names of dynamic inputs, which arrive as a dict even when they have nothing inside.
    """
    result: dict[str, Any] = {}
    parents = {name.rpartition(".")[0] for name in values if "." in name} | set(groups)
    # Inputs keep the order in which they are given: sorted() is stable, a set is not.
    for name in sorted(dict.fromkeys([*sorted(parents), *values]), key=lambda name: name.count(".")):
        *path, last = name.split(".")
        level = result
        for part in path:
            level = level.setdefault(part, {})
        if name in parents:
            inner = level.setdefault(last, {})
            if name in values:
                inner[last] = values[name]
        else:
            level[last] = values[name]
    return result
