"""Workflow files: the frontend's UI format (0.4, with subgraphs) becomes the flat prompt that is executed.

A prompt is {"id": {"class_type", "inputs": {name: value | ["id", slot]}, "_meta": {"title"}}}; nodes inside a subgraph
have ids such as "57:3".
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .comfy_api import replacements
from .document import LINK_KEYS, check_document, check_prompt
from .errors import HostError
from .io import Schema
from .registry import VIRTUAL, Registry, expanded

MUTED, BYPASSED = 2, 4
CONTROL = frozenset({"fixed", "increment", "decrement", "randomize"})
INPUT_NODE, OUTPUT_NODE = -10, -20  # ids that stand for a subgraph's own sockets
MAX_DEPTH = 32  # subgraphs inside subgraphs


@dataclass
class Workflow:
    """A workflow ready for checks. `places` tells where in `document` each typed value is kept."""

    prompt: dict[str, Any]
    document: dict[str, Any] | None  # the UI format, None when the file was in API format
    settings: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (node id, input)
    places: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)  # -> (list or dict, index or key)
    broken: dict[tuple[str, str], str] = field(default_factory=dict)  # (node id, input) -> why its link gives nothing

    def set_value(self, node_id: str, name: str, value: Any) -> None:
        """Changes a typed value in the prompt and, for UI files, in the document that outputs will carry."""
        self.prompt[node_id]["inputs"][name] = value
        place = self.places.get((node_id, name))
        if place is not None:
            place[0][place[1]] = value


def label(node_id: str, node: dict[str, Any]) -> str:
    """How messages name a node: its title and id."""
    title = (node.get("_meta") or {}).get("title") or node.get("title") or node.get("class_type") or node.get("type")
    return f'"{title}" (node {node_id})'


def read_workflow(source: str | Path | dict[str, Any], registry: Registry) -> Workflow:
    """Reads a file, or its parsed content, in UI or API format; HostError when it is neither."""
    document = copy.deepcopy(source) if isinstance(source, dict) else _load(Path(source))
    if isinstance(document.get("nodes"), list):
        check_document(document)
        return _Flattener(document, registry).run()
    if isinstance(document.get("prompt"), dict):
        document = document["prompt"]
    if not document or not all(isinstance(node, dict) and "class_type" in node for node in document.values()):
        raise HostError(f"{_name(source)} is no workflow: it needs a list of nodes (UI) or class types by id (API)")
    check_prompt(document)
    prompt = {
        str(node_id): {**node, **{name: dict(node.get(name) or {}) for name in ("inputs", "_meta")}}
        for node_id, node in document.items()
    }
    return Workflow(prompt=prompt, document=None)


def _load(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise HostError(f"{path} is a folder; give the workflow file")
    try:
        if path.suffix.lower() in (".mp4", ".mov", ".mkv", ".png", ".webm"):
            return _embedded(path)
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise HostError(f"{path} does not exist; check the name") from None
    except UnicodeDecodeError:
        raise HostError(f"{path} is no workflow: it is no text; give a .json, or a film saved by one") from None
    except OSError as error:
        raise HostError(f"{path} cannot be read as a workflow: {error}") from error
    except json.JSONDecodeError as error:
        raise HostError(f"{path} is no JSON (line {error.lineno}: {error.msg}); save the workflow again") from error
    except (RecursionError, ValueError) as error:  # nested without end, or with a number of thousands of digits
        raise HostError(f"{path} is no workflow that can be read ({error}); save it again") from error
    if not isinstance(document, dict):
        raise HostError(
            f"{path} is no workflow: it holds a {type(document).__name__}, not an object; choose another file"
        )
    return document


def _embedded(path: Path) -> dict[str, Any]:
    """The workflow that a saved film or picture carries."""
    if not path.is_file():
        raise HostError(f"{path} does not exist; check the name")
    if path.suffix.lower() == ".png":
        from PIL import Image

        try:
            with Image.open(path) as image:
                tags = {key: json.loads(value) for key, value in image.info.items() if key in ("workflow", "prompt")}
        except Image.DecompressionBombError as error:
            raise HostError(f"{path} cannot be read as a workflow: {error}") from error
    else:
        from moviegen_core.errors import MediaError
        from moviegen_core.media.movie import read_movie

        try:
            tags = read_movie(path).metadata
        except MediaError as error:
            raise HostError(str(error)) from error
    for key in ("workflow", "prompt"):
        if isinstance(tags.get(key), dict):
            return tags[key]
    raise HostError(f"{path} carries no workflow; give a workflow file, or a file saved by one")


def _name(source: Any) -> str:
    return "this document" if isinstance(source, dict) else str(source)


@dataclass
class _Scope:
    """One level of the graph: the workflow itself, or one use of a subgraph."""

    prefix: str
    nodes: dict[Any, dict[str, Any]]
    links: dict[Any, tuple[Any, int, Any, int, str]]  # id -> origin, slot, target, slot, type
    definition: dict[str, Any] | None = None
    parent: _Scope | None = None
    instance: dict[str, Any] | None = None
    children: dict[Any, _Scope] = field(default_factory=dict)  # by id of the instance


class _Place(NamedTuple):
    """An output that a link begins at."""

    scope: _Scope
    origin: Any
    slot: int
    kind: str


_Found = tuple[str, Any] | None


class _Flattener:
    """Turns the UI format into a prompt, and notes every broken link on the way."""

    def __init__(self, document: dict[str, Any], registry: Registry) -> None:
        self.registry = registry
        self.result = Workflow(prompt={}, document=document)
        definitions = (document.get("definitions") or {}).get("subgraphs") or []
        self.definitions: dict[str, dict[str, Any]] = {one["id"]: one for one in definitions}

    def run(self) -> Workflow:
        assert self.result.document is not None
        self._emit(self._scope("", self.result.document))
        declared = ((self.result.document.get("extra") or {}).get("moviegen") or {}).get("settings") or {}
        self.result.settings = {name: (str(place[0]), str(place[1])) for name, place in declared.items()}
        return self.result

    def _scope(
        self, prefix: str, level: dict[str, Any], parent: _Scope | None = None, instance: dict[str, Any] | None = None
    ) -> _Scope:
        links = {}
        for link in level.get("links") or []:
            if link is None:
                continue
            if isinstance(link, dict):
                link = [link.get(key) for key in LINK_KEYS]
            links[link[0]] = (link[1], link[2], link[3], link[4], str(link[5]))
        nodes = {node["id"]: node for node in level["nodes"]}
        definition = None if parent is None else level
        scope = _Scope(prefix, nodes, links, definition, parent, instance)
        for node in nodes.values():
            if node["type"] in self.definitions:
                if prefix.count(":") >= MAX_DEPTH:
                    raise HostError(f"the subgraph {label(node['id'], node)} contains itself; take one of them out")
                scope.children[node["id"]] = self._scope(
                    f"{prefix}{node['id']}:", self.definitions[node["type"]], scope, node
                )
        return scope

    def _emit(self, scope: _Scope) -> None:
        for node in scope.nodes.values():
            if node.get("mode") in (MUTED, BYPASSED) or node["type"] in VIRTUAL:
                continue
            if node["id"] in scope.children:
                self._emit(scope.children[node["id"]])
                continue
            node_id = f"{scope.prefix}{node['id']}"
            schema = self.registry.schema(node["type"])
            entry: dict[str, Any] = {"class_type": node["type"], "inputs": {}}
            entry["_meta"] = {"title": node.get("title") or (schema and schema.display_name) or node["type"]}
            self.result.prompt[node_id] = entry
            rule = replacements.get(node["type"])
            if schema is not None:
                self._typed_values(node_id, node, schema, entry["inputs"])
                optional = {name for name, one in expanded(schema, entry["inputs"]) if one.optional}
                self._linked_values(scope, node_id, node, optional, entry["inputs"])
            elif rule is not None:
                # The old node's declaration is gone; the rule says what its values were called.
                values = node.get("widgets_values") or []
                entry["inputs"] |= dict(zip(rule.old_widget_ids or [], values, strict=False))
                self._linked_values(scope, node_id, node, set(), entry["inputs"])

    def _typed_values(self, node_id: str, node: dict[str, Any], schema: Schema, inputs: dict[str, Any]) -> None:
        """Hands out `widgets_values` in order; a seed is followed by a slot for its control, which is no input."""
        stored = node.get("widgets_values")
        if stored is None:
            stored = []
        if isinstance(stored, dict):
            for name, _ in expanded(schema, stored):
                if name in stored:
                    inputs[name] = stored[name]
                    self.result.places[node_id, name] = (stored, name)
            return
        position, done = 0, set()
        while True:
            # A value may bring further widgets of its own, so the list is taken anew after each one.
            waiting = [pair for pair in expanded(schema, inputs) if pair[0] not in done and pair[1].has_widget]
            if not waiting or position >= len(stored):
                return
            name, one = waiting[0]
            done.add(name)
            inputs[name] = stored[position]
            self.result.places[node_id, name] = (stored, position)
            position += 1
            seed = getattr(one, "control_after_generate", None)
            if seed is None:
                seed = one.id in ("seed", "noise_seed")
            if seed and position < len(stored) and str(stored[position]) in CONTROL:
                position += 1

    def _linked_values(
        self, scope: _Scope, node_id: str, node: dict[str, Any], optional: set[str], inputs: dict[str, Any]
    ) -> None:
        for socket in node.get("inputs") or []:
            if socket.get("link") is None:
                continue
            name = (socket.get("widget") or {}).get("name") or socket.get("name", "")
            try:
                found = self._source(scope, socket["link"])
            except _Unusable as reason:
                inputs.pop(name, None)
                if name not in optional or not isinstance(reason, _Switched):
                    self.result.broken[node_id, name] = f"{label(node_id, node)}: the input {name} {reason}"
                continue
            if found is None:
                if not (socket.get("widget") and name in inputs):
                    inputs.pop(name, None)
            elif found[0] == "value":
                inputs[name] = found[1][0][found[1][1]]
                self.result.places[node_id, name] = found[1]
            else:
                inputs[name] = list(found[1])

    def _source(self, scope: _Scope, link_id: Any) -> _Found:
        """What a link carries in the end: ("link", (id, slot)), ("value", place of it), or None for nothing."""
        place: _Place | _Found = self._behind(scope, link_id)
        seen = set()
        while isinstance(place, _Place):
            stop = (place.scope.prefix, place.origin, place.slot)
            if stop in seen:
                raise _Unusable("comes from links that run in a circle; take one of them out")
            seen.add(stop)
            place = self._through(place)
        return place

    def _behind(self, scope: _Scope, link_id: Any) -> _Place:
        """Where a link begins."""
        link = scope.links.get(link_id)
        if link is None:
            raise _Unusable("has a link that does not exist in the file; connect it again")
        return _Place(scope, link[0], link[1], link[4])

    def _through(self, place: _Place) -> _Place | _Found:
        """What the node at a place gives, or the place before it where it only passes on."""
        scope, origin, slot = place.scope, place.origin, place.slot
        if origin == self._boundary(scope, "inputNode", INPUT_NODE) and scope.definition is not None:
            return self._outside(scope, slot)
        node = scope.nodes.get(origin)
        if node is None:
            raise _Unusable(f"comes from node {scope.prefix}{origin}, which is not in the file; connect it again")
        if node.get("mode") == MUTED:
            raise _Switched(f"comes from {label(origin, node)}, which is muted; unmute it or connect another node")
        if node.get("mode") == BYPASSED:
            passed = self._bypass(node, slot, place.kind)
            if passed is None:
                raise _Switched(
                    f"comes from {label(origin, node)}, which is bypassed and has no {place.kind} input to pass on; "
                    "switch it on or connect another node"
                )
            return self._behind(scope, passed)
        if node["type"] == "Reroute":
            inner = (node.get("inputs") or [{}])[0].get("link")
            return None if inner is None else self._behind(scope, inner)
        if node["type"] == "PrimitiveNode":
            values = node.get("widgets_values") or []
            if not values:
                raise _Unusable(f"comes from {label(origin, node)}, which holds no value; type one")
            return "value", (values, 0)
        if origin in scope.children:
            return self._inside(scope.children[origin], node, slot)
        return "link", (f"{scope.prefix}{origin}", slot)

    def _outside(self, scope: _Scope, slot: int) -> _Place | _Found:
        """From an input of a subgraph to what is connected, or typed, at its use."""
        assert scope.definition is not None
        assert scope.instance is not None
        assert scope.parent is not None
        declared = scope.definition.get("inputs") or []
        if not 0 <= slot < len(declared):
            raise _Unusable(f"comes from input {slot} of a subgraph that has {len(declared)}; connect it again")
        name = declared[slot]["name"]
        sockets = scope.instance.get("inputs") or []
        socket = next((one for one in sockets if one.get("name") == name), None)
        if socket is None:
            return None
        if socket.get("link") is not None:
            return self._behind(scope.parent, socket["link"])
        typed = [one.get("name") for one in sockets if one.get("widget")]
        values = scope.instance.get("widgets_values")
        if name in typed and isinstance(values, list) and len(values) == len(typed):
            return "value", (values, typed.index(name))
        return None

    def _inside(self, child: _Scope, node: dict[str, Any], slot: int) -> _Place:
        """From an output of a subgraph to the node inside that makes it."""
        outlet = self._boundary(child, "outputNode", OUTPUT_NODE)
        for origin, origin_slot, target, target_slot, kind in child.links.values():
            if target == outlet and target_slot == slot:
                return _Place(child, origin, origin_slot, kind)
        raise _Unusable(f"comes from output {slot} of the subgraph {label(node['id'], node)}, which nothing feeds")

    @staticmethod
    def _boundary(scope: _Scope, key: str, default: int) -> Any:
        return ((scope.definition or {}).get(key) or {}).get("id", default)

    @staticmethod
    def _bypass(node: dict[str, Any], slot: int, kind: str) -> Any:
        """Link of the input that a bypassed node passes on: the one beside the output, else the first of its type."""
        outputs, inputs = node.get("outputs") or [], node.get("inputs") or []
        kind = outputs[slot].get("type", kind) if 0 <= slot < len(outputs) else kind
        beside = inputs[slot : slot + 1]
        for socket in [*beside, *inputs]:
            given = socket.get("type")
            if socket.get("link") is not None and (kind == given or "*" in (kind, given)):
                return socket["link"]
        return None


class _Unusable(Exception):
    """Why a link gives nothing."""


class _Switched(_Unusable):
    """The node that should give it is switched off, which an optional input can bear."""
