"""The `io` namespace of the node API: socket types, dynamic inputs, schemas and the node base class.

Written from the API's public description; only what a node declares and what a host needs to run it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import inputs
from .inputs import (  # noqa: F401 - part of this namespace
    BooleanInput,
    ComboInput,
    ComboOutput,
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    Custom,
    FloatInput,
    FolderType,
    Input,
    IntInput,
    MultiComboInput,
    NumberDisplay,
    NumberInput,
    Output,
    StringInput,
    UploadType,
    WidgetInput,
    comfytype,
)


class Hidden(str, Enum):
    """Values a node may ask of the host; read as `cls.hidden.<name>`."""

    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"
    auth_token_comfy_org = "AUTH_TOKEN_COMFY_ORG"
    api_key_comfy_org = "API_KEY_COMFY_ORG"
    comfy_usage_source = "COMFY_USAGE_SOURCE"


def _widget_type(io_type: str, input_class: type, output_class: type = Output, value: Any = Any) -> Any:
    return comfytype(io_type)(
        type(io_type.title(), (ComfyTypeIO,), {"Input": input_class, "Output": output_class, "Type": value})
    )


Boolean = _widget_type("BOOLEAN", BooleanInput, value=bool)
Int = _widget_type("INT", IntInput, value=int)
Float = _widget_type("FLOAT", FloatInput, value=float)
String = _widget_type("STRING", StringInput, value=str)
Combo = _widget_type("COMBO", ComboInput, ComboOutput, value=str)
MultiCombo = _widget_type("COMBO", MultiComboInput, value=list)
Image, Mask, Latent, Conditioning = (Custom(name) for name in ("IMAGE", "MASK", "LATENT", "CONDITIONING"))
Model, Clip, Vae, ModelPatch = (Custom(name) for name in ("MODEL", "CLIP", "VAE", "MODEL_PATCH"))
Sampler, Sigmas, Noise, Guider = (Custom(name) for name in ("SAMPLER", "SIGMAS", "NOISE", "GUIDER"))
Audio, Video, ClipVision, ClipVisionOutput = (
    Custom(name) for name in ("AUDIO", "VIDEO", "CLIP_VISION", "CLIP_VISION_OUTPUT")
)
AudioEncoder, AudioEncoderOutput = Custom("AUDIO_ENCODER"), Custom("AUDIO_ENCODER_OUTPUT")
ControlNet, UpscaleModel, LoraModel = Custom("CONTROL_NET"), Custom("UPSCALE_MODEL"), Custom("LORA_MODEL")
Tracks, Dict, Array, AnyType = Custom("TRACKS"), Custom("DICT"), Custom("ARRAY"), Custom("*")


@comfytype("COMFY_MULTITYPED_V3")
class MultiType(ComfyTypeI):
    """An input that takes several types; with a widget when `id` is a widget input."""

    class Input(inputs.Input):
        """`id` is a name, or an input whose widget is shown."""

        def __init__(self, id: str | Input, types: Iterable[Any], *arguments: Any, **common: Any) -> None:
            self.widget = copy.copy(id) if isinstance(id, Input) else None
            if isinstance(id, Input):
                common = {"optional": id.optional, "tooltip": id.tooltip, "display_name": id.display_name} | common
                id = id.id
            super().__init__(id, *arguments, **common)
            self.types = list(types)
            self.default = getattr(self.widget, "default", None)

        def get_io_type(self) -> str:
            names = [self.widget.get_io_type()] if self.widget is not None else []
            return ",".join(dict.fromkeys(names + [kind.io_type for kind in self.types]))

        @property
        def has_widget(self) -> bool:
            return self.widget is not None and self.widget.has_widget


@comfytype("COMFY_MATCHTYPE_V3")
class MatchType(ComfyTypeIO):
    """Inputs and outputs that share one type, whatever it is."""

    class Template:
        """Ties the inputs and outputs of one name together."""

        def __init__(self, template_id: str, allowed_types: Any = AnyType) -> None:
            self.template_id = template_id
            self.allowed_types = list(allowed_types) if isinstance(allowed_types, Iterable) else [allowed_types]

    class Input(inputs.Input):
        """An input that takes the template's types."""

        def __init__(self, id: str, template: Any, *arguments: Any, **common: Any) -> None:
            super().__init__(id, *arguments, **common)
            self.template = template

        def get_io_type(self) -> str:
            return ",".join(kind.io_type for kind in self.template.allowed_types)

    class Output(inputs.Output):
        """An output of the type that the template's inputs got."""

        def __init__(self, template: Any, id: str | None = None, *arguments: Any, **common: Any) -> None:
            super().__init__(id, *arguments, **common)
            self.template = template


class DynamicInput(Input):
    """An input that stands for a changing set of inputs with dotted names."""

    def expand(self, names: Mapping[str, Any], path: str) -> list[tuple[str, Input]]:
        """Inputs (dotted name, input) that exist with these values; `path` is this input's own dotted name."""
        raise NotImplementedError


@comfytype("COMFY_AUTOGROW_V3")
class Autogrow(ComfyTypeI):
    """A row of like inputs that grows; arrives as one dict."""

    class _Template:
        def __init__(self, input: Input, names: list[str], min: int) -> None:
            self.input, self.names, self.min = copy.copy(input), names, min
            if isinstance(self.input, WidgetInput):
                self.input.force_input = True

    class TemplatePrefix(_Template):
        """Inputs <prefix>0, <prefix>1, ... up to `max`, of which `min` are required."""

        def __init__(self, input: Input, prefix: str, min: int = 1, max: int = 10) -> None:
            super().__init__(input, [f"{prefix}{index}" for index in range(max)], min)
            self.prefix, self.max = prefix, max

    class TemplateNames(_Template):
        """Inputs of the given names, of which the first `min` are required."""

        def __init__(self, input: Input, names: list[str], min: int = 1) -> None:
            super().__init__(input, list(names), min)

    class Input(DynamicInput):
        """Takes a template."""

        def __init__(self, id: str, template: Any, *arguments: Any, **common: Any) -> None:
            super().__init__(id, *arguments, **common)
            self.template = template

        def expand(self, names: Mapping[str, Any], path: str) -> list[tuple[str, Input]]:
            expanded = []
            for index, name in enumerate(self.template.names):
                dotted = f"{path}.{name}"
                required = index < self.template.min and not self.template.input.optional
                if required or dotted in names:
                    one = copy.copy(self.template.input)
                    one.id, one.optional = name, not required
                    expanded.append((dotted, one))
            return expanded


@comfytype("COMFY_DYNAMICCOMBO_V3")
class DynamicCombo(ComfyTypeI):
    """A choice whose options bring inputs of their own; arrives as {id: key, sub-input: value, ...}."""

    class Option:
        """One choice and its inputs."""

        def __init__(self, key: str, inputs: Sequence[Input]) -> None:
            self.key, self.inputs = key, list(inputs)

    class Input(DynamicInput):
        """Takes the options."""

        def __init__(self, id: str, options: Sequence[Any], *arguments: Any, **common: Any) -> None:
            super().__init__(id, *arguments, **common)
            self.options = list(options)
            self.default = self.options[0].key if self.options else None

        @property
        def has_widget(self) -> bool:
            return True

        def expand(self, names: Mapping[str, Any], path: str) -> list[tuple[str, Input]]:
            key = names.get(path)
            chosen = next((option for option in self.options if option.key == key), None)
            return [] if chosen is None else [(f"{path}.{one.id}", one) for one in chosen.inputs]


@dataclass
class Schema:
    """Everything a host must know about a node."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    hidden: list[Hidden] = field(default_factory=list)
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    price_badge: Any = None
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def validate(self) -> None:
        """ValueError when two inputs or two outputs share a name."""
        for kind, names in (("input", [one.id for one in self.inputs]), ("output", [one.id for one in self.outputs])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"node {self.node_id}: more than one {kind} is called {', '.join(twice)}")

    def finalize(self) -> None:
        """Gives output nodes their hidden inputs and unnamed outputs a name."""
        if self.is_output_node:
            self.hidden = list(dict.fromkeys([*self.hidden, Hidden.prompt, Hidden.extra_pnginfo]))
        for index, output in enumerate(self.outputs):
            output.id = output.id or f"_{index}_{output.io_type}_"


class HiddenHolder:
    """Hidden values by name; None for those the host does not have."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        return None


class NodeOutput:
    """What `execute` returns: values for the outputs, and files or text for the user interface."""

    def __init__(
        self,
        *args: Any,
        ui: Any = None,
        expand: dict[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args, self.ui, self.expand, self.block_execution = args, ui, expand, block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        """The values, or None when there are none."""
        return self.args or None

    def __getitem__(self, index: int) -> Any:
        return self.args[index]


class _Locked(type):
    """Metaclass of the clone that runs: state set on it would be lost, so setting raises, as in ComfyUI."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"{cls.__name__}.{name} cannot be set while a node runs; keep state in an output")


class ComfyNode:
    """Base of every node; all methods are class methods."""

    hidden = HiddenHolder()

    @classmethod
    def define_schema(cls) -> Schema:
        """The node's declaration."""
        raise NotImplementedError

    @classmethod
    def execute(cls, *arguments: Any, **inputs: Any) -> Any:
        """The node's work; may be a coroutine."""
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        """The checked declaration with the host's additions."""
        schema = cls.define_schema()
        schema.finalize()
        schema.validate()
        return schema

    @classmethod
    def PREPARE_CLASS_CLONE(cls, v3_data: Mapping[str, Any] | None) -> type[ComfyNode]:
        """A throw-away class that carries the hidden inputs of one run."""
        given = (v3_data or {}).get("hidden_inputs", {})
        hidden = HiddenHolder(**{Hidden(key).name: value for key, value in given.items()})
        clone: Any = _Locked(cls.__name__, (cls,), {"hidden": hidden, "__module__": cls.__module__})
        return clone

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Whether the node defines `validate_inputs`, `fingerprint_inputs` or `check_lazy_status`."""
        return inspect.getattr_static(cls, method, None) is not None


class NodeReplace:
    """A rule that turns an old node id into a new one."""

    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: list[str] | None = None,
        input_mapping: list[dict[str, Any]] | None = None,
        output_mapping: list[dict[str, int]] | None = None,
    ) -> None:
        self.new_node_id, self.old_node_id, self.old_widget_ids = new_node_id, old_node_id, old_widget_ids or []
        self.input_mapping, self.output_mapping = input_mapping or [], output_mapping or []
