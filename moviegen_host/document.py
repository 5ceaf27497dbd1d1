"""Whether a workflow document is built as editors write it, before anything reads it."""

from __future__ import annotations

from typing import Any

from .errors import HostError

LINK_KEYS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")


def check_document(document: dict[str, Any]) -> None:
    """The UI format; HostError names the first place that is damaged."""
    _level(document, "the workflow")
    definitions = _optional(document, "definitions", dict, "the workflow") or {}
    for index, one in enumerate(_optional(definitions, "subgraphs", list, "definitions") or []):
        where = f"subgraph {index + 1}"
        _want(one, dict, where)
        _want(one.get("id"), str, f"the id of {where}")
        _level(one, where)
        for name in ("inputs", "outputs"):
            for socket in _optional(one, name, list, where) or []:
                _want(socket, dict, f"a socket among the {name} of {where}")
                _want(socket.get("name"), str, f"the name of a socket among the {name} of {where}")
        for name in ("inputNode", "outputNode"):
            boundary = _optional(one, name, dict, where) or {}
            if "id" in boundary:
                _want(boundary["id"], (int, str), f"the id of {name} of {where}")
    extra = _optional(document, "extra", dict, "the workflow") or {}
    moviegen = _optional(extra, "moviegen", dict, "extra") or {}
    for name, place in (_optional(moviegen, "settings", dict, "extra.moviegen") or {}).items():
        where = f"the setting {name}"
        _want(place, list, where)
        if len(place) != 2:
            raise _damaged(where)
        _want(place[0], (int, str), where)
        _want(place[1], str, where)


def check_prompt(prompt: dict[str, Any]) -> None:
    """The API format; HostError names the first node that is damaged."""
    for node_id, node in prompt.items():
        where = f"node {node_id}"
        _want(node, dict, where)
        _want(node.get("class_type"), str, f"the type of {where}")
        _optional(node, "inputs", dict, where)
        _optional(_optional(node, "_meta", dict, where) or {}, "title", str, where)


def _level(level: dict[str, Any], where: str) -> None:
    """Nodes and links of the workflow itself, or of one subgraph."""
    nodes = level.get("nodes")
    if not isinstance(nodes, list):
        raise _damaged(f"the nodes of {where}")
    for index, node in enumerate(nodes):
        _node(node, f"node {index + 1} of {where}")
    for index, link in enumerate(_optional(level, "links", list, where) or []):
        place = f"link {index + 1} of {where}"
        if link is None:
            continue  # old editors left a hole where a link was deleted
        _want(link, (list, dict), place)
        parts = [link.get(key) for key in LINK_KEYS] if isinstance(link, dict) else link
        if len(parts) < len(LINK_KEYS):
            raise _damaged(place)
        for part in (parts[0], parts[1], parts[3]):
            _want(part, (int, str), place)
        for part in (parts[2], parts[4]):
            _want(part, int, place)


def _node(node: Any, where: str) -> None:
    _want(node, dict, where)
    _want(node.get("id"), (int, str), f"the id of {where}")
    _want(node.get("type"), str, f"the type of {where}")
    _optional(node, "title", str, where)
    _optional(node, "widgets_values", (list, dict), where)
    for name in ("inputs", "outputs"):
        for socket in _optional(node, name, list, where) or []:
            _want(socket, dict, f"the {name} of {where}")
            _want(socket.get("name", ""), str, f"the {name} of {where}")
            _optional(socket, "link", (int, str), f"the {name} of {where}")
            widget = _optional(socket, "widget", dict, f"the {name} of {where}") or {}
            _optional(widget, "name", str, f"the {name} of {where}")


def _optional(holder: dict[str, Any], key: str, kinds: Any, where: str) -> Any:
    value = holder.get(key)
    if value is not None:
        _want(value, kinds, f"{key} of {where}")
    return value


def _want(value: Any, kinds: Any, where: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise _damaged(where)


def _damaged(where: str) -> HostError:
    return HostError(f"the workflow is damaged: {where} is missing or of a wrong kind; save it again in the editor")
