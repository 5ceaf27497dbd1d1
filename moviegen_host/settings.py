"""Values given from outside a workflow, such as `prompt=...` or `Sampler.steps=20`.

A name is looked up in this order, and the first that fits is meant:

1. the workflow's own list, `extra.moviegen.settings`: {"prompt": [node id, input name]};
2. `NODE.input`, where NODE is a node's title, id or type;
3. an input of that name, if only one node that will run has a widget of that name;
4. a node of that title, if it has one widget only.

A name that fits several inputs is refused with the list of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import HostError
from .graph import as_link, coerced
from .registry import Registry, expanded
from .workflow import Workflow, label

LISTED = 12  # names in an error


@dataclass(frozen=True)
class Setting:
    """An input whose value can be given from outside."""

    node_id: str
    title: str
    class_type: str
    name: str
    value: Any
    alias: str | None = None  # its name in the workflow's own list

    @property
    def full_name(self) -> str:
        """`Node title.input`."""
        return f"{self.title}.{self.name}"


def list_settings(workflow: Workflow, registry: Registry) -> list[Setting]:
    """Every widget value of the nodes, the workflow's own list first."""
    aliases = {place: name for name, place in workflow.settings.items()}
    found = []
    for node_id, node in workflow.prompt.items():
        schema = registry.schema(node["class_type"])
        if schema is None:
            continue
        title = node["_meta"].get("title") or schema.display_name or node["class_type"]
        for name, one in expanded(schema, node["inputs"]):
            value = node["inputs"].get(name, getattr(one, "default", None))
            if one.has_widget and as_link(value) is None:
                alias = aliases.get((node_id, name))
                found.append(Setting(node_id, title, node["class_type"], name, value, alias))
    return sorted(found, key=lambda one: one.alias is None)


def apply_settings(workflow: Workflow, settings: Mapping[str, Any], registry: Registry) -> None:
    """Writes the values into the workflow; HostError with every unknown, ambiguous or impossible one."""
    problems = []
    for name, value in settings.items():
        known = list_settings(workflow, registry)
        matches = _matches(name, known)
        if len(matches) == 1:
            problem = _set(workflow, registry, matches[0], value)
        elif matches:
            problem = f"--set {name}: several inputs fit; choose from {', '.join(_distinct(matches))}"
        else:
            problem = _unknown(name, known, workflow)
        if problem:
            problems.append(problem)
    if problems:
        raise HostError(problems)


def _matches(name: str, known: list[Setting]) -> list[Setting]:
    title, _, widget = name.rpartition(".")
    rules = [
        [one for one in known if one.alias == name],
        [one for one in known if one.full_name == name or f"{one.node_id}.{one.name}" == name],
        [one for one in known if title and one.name == widget and title in (one.title, one.class_type)],
        [one for one in known if one.name == name],
        [one for one in known if one.title == name and sum(other.node_id == one.node_id for other in known) == 1],
    ]
    return next((found for found in rules if found), [])


def _set(workflow: Workflow, registry: Registry, setting: Setting, value: Any) -> str | None:
    node = workflow.prompt[setting.node_id]
    schema = registry.schema(node["class_type"])
    assert schema is not None
    one = dict(expanded(schema, node["inputs"]))[setting.name]
    try:
        # The value's range is the graph check's business; here a text only becomes a value of the input's type.
        value = coerced(one, value, checked=False)
    except ValueError as reason:
        return f"--set {setting.full_name} {reason}"
    workflow.set_value(setting.node_id, setting.name, value)
    return None


def _unknown(name: str, known: list[Setting], workflow: Workflow) -> str:
    title, _, widget = name.rpartition(".")
    for node_id, node in workflow.prompt.items():
        linked = as_link(node["inputs"].get(widget or name))
        if linked is not None and (not title or title in (node_id, node["class_type"], node["_meta"].get("title"))):
            source = label(linked.node_id, workflow.prompt.get(linked.node_id, {}))
            return f"--set {name}: this input of {label(node_id, node)} comes from {source}; set it there"
    names = list(dict.fromkeys(filter(None, (text for one in known for text in (one.alias, one.name, one.full_name)))))
    close = difflib.get_close_matches(name, names, 3)
    listed = list(dict.fromkeys(one.alias or one.name for one in known))
    rest = "; --list-settings shows all" if len(listed) > LISTED else ""
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(listed[:LISTED])}{rest}"
    return f"--set {name}: no input has this name; {hint}" if names else f"--set {name}: the workflow has no inputs"


def _distinct(settings: list[Setting]) -> list[str]:
    full = [one.full_name for one in settings]
    return [f"{one.node_id}.{one.name}" if full.count(one.full_name) > 1 else one.full_name for one in settings]
