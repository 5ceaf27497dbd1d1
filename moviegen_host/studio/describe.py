"""Node types as the frontend reads them at /object_info."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from ..inputs import ComboInput, Input, NumberInput, StringInput, WidgetInput
from ..io import Autogrow, DynamicCombo, Hidden, MatchType, MultiType, Schema
from ..registry import OWN_PACK, Registry


def pack_name(root: Path) -> str:
    """The name under which a pack's web files, help and templates appear."""
    return "ComfyUI-MovieGen" if root == OWN_PACK else root.name.replace(".", "_")


def describe_all(registry: Registry) -> dict[str, Any]:
    """Every node type by id."""
    return {node_id: describe(registry, node_id) for node_id in registry.nodes}


def describe(registry: Registry, node_id: str) -> dict[str, Any]:
    """One node type: sockets, widgets and texts."""
    schema = registry.schema(node_id)
    assert schema is not None
    root = registry.packs.get(node_id)
    inputs = _inputs(schema.inputs)
    if schema.hidden:
        inputs["hidden"] = {Hidden(one).name: [Hidden(one).value] for one in schema.hidden}
    matches = [one.template.template_id if isinstance(one, MatchType.Output) else None for one in schema.outputs]
    return {
        "input": inputs,
        "input_order": {part: list(names) for part, names in inputs.items()},
        "is_input_list": schema.is_input_list,
        "output": [one.io_type for one in schema.outputs],
        "output_is_list": [one.is_output_list for one in schema.outputs],
        "output_name": [_output_name(one) for one in schema.outputs],
        "output_tooltips": [one.tooltip for one in schema.outputs],
        "output_matchtypes": matches if any(matches) else None,
        "name": schema.node_id,
        "display_name": schema.display_name or schema.node_id,
        "description": schema.description,
        "python_module": "nodes" if root is None else f"custom_nodes.{pack_name(root)}",
        "category": schema.category,
        **_flags(schema),
    }


def _flags(schema: Schema) -> dict[str, Any]:
    return {
        "output_node": schema.is_output_node,
        "deprecated": schema.is_deprecated,
        "experimental": schema.is_experimental,
        "dev_only": schema.is_dev_only,
        "api_node": schema.is_api_node,
        "search_aliases": schema.search_aliases,
        "essentials_category": schema.essentials_category,
        "has_intermediate_output": schema.has_intermediate_output,
    }


def _output_name(output: Any) -> str:
    unnamed = output.display_name is None or output.display_name.startswith("_")
    return output.io_type if unnamed else output.display_name


def _inputs(inputs: list[Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {"required": {}}
    for one in inputs:
        parts.setdefault("optional" if one.optional else "required", {})[one.id] = _input(one)
    return parts


def _input(one: Input) -> list[Any]:
    options: dict[str, Any] = {
        "display_name": one.display_name,
        "tooltip": one.tooltip,
        "lazy": one.lazy,
        "rawLink": one.raw_link,
        "advanced": one.advanced,
    }
    kind = one.get_io_type()
    if isinstance(one, MatchType.Input):
        kind = one.io_type
        types = ",".join(allowed.io_type for allowed in one.template.allowed_types)
        options["template"] = {"template_id": one.template.template_id, "allowed_types": types}
    elif isinstance(one, Autogrow.Input):
        options["template"] = _template(one.template)
    elif isinstance(one, DynamicCombo.Input):
        options["options"] = [{"key": option.key, "inputs": _inputs(option.inputs)} for option in one.options]
    elif isinstance(one, MultiType.Input):
        if one.widget is not None:
            options = {**_widget(one.widget), **{key: value for key, value in options.items() if value is not None}}
            options["widgetType"] = one.widget.get_io_type()
    elif isinstance(one, WidgetInput):
        options |= _widget(one)
    plain = {key: _plain(value) for key, value in options.items() if value is not None}
    return [kind, {**plain, **one.extra_dict}]


def _template(template: Any) -> dict[str, Any]:
    described = {"input": _inputs([template.input]), "min": template.min}
    if isinstance(template, Autogrow.TemplatePrefix):
        return {**described, "prefix": template.prefix, "max": template.max}
    return {**described, "names": template.names}


def _widget(one: Any) -> dict[str, Any]:
    options = {"default": one.default, "socketless": one.socketless, "forceInput": one.force_input}
    if isinstance(one, NumberInput):
        options |= {"min": one.min, "max": one.max, "step": one.step, "display": one.display_mode}
        options["round"] = getattr(one, "round", None)
        options["gradient_stops"] = getattr(one, "gradient_stops", None)
    if isinstance(one, StringInput):
        options |= {"multiline": one.multiline, "placeholder": one.placeholder, "dynamicPrompts": one.dynamic_prompts}
    if isinstance(one, ComboInput):
        options |= {"options": one.options, "multiselect": one.multiselect, "image_folder": one.image_folder}
        if one.upload is not None:
            options[one.upload.value] = True
    options["control_after_generate"] = getattr(one, "control_after_generate", None)
    for label in ("label_on", "label_off"):
        options[label] = getattr(one, label, None)
    return options


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
