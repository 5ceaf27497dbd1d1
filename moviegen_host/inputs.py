"""Inputs, outputs and widgets of the node API: one class for each kind of widget."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any


class FolderType(str, Enum):
    """Where a saved file lies."""

    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    """The upload button of a combo."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class NumberDisplay(str, Enum):
    """How a number widget looks."""

    number = "number"
    slider = "slider"
    gradient_slider = "gradientslider"


class ControlAfterGenerate(str, Enum):
    """What happens to a seed after each run in the frontend."""

    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class Input:
    """A socket, and for the subclasses a widget, of a node."""

    io_type = "*"

    def __init__(
        self,
        id: str,
        display_name: str | None = None,
        optional: bool = False,
        tooltip: str | None = None,
        lazy: bool | None = None,
        extra_dict: dict[str, Any] | None = None,
        raw_link: bool | None = None,
        advanced: bool | None = None,
    ) -> None:
        self.id, self.display_name, self.optional, self.tooltip = id, display_name, optional, tooltip
        self.lazy, self.extra_dict, self.raw_link, self.advanced = lazy, extra_dict or {}, raw_link, advanced

    def get_io_type(self) -> str:
        """The type links must have; several are joined by commas."""
        return self.io_type

    def accepts(self) -> set[str]:
        """Link types this input takes; `*` takes all."""
        return set(self.get_io_type().split(","))

    @property
    def has_widget(self) -> bool:
        """Whether the frontend draws a widget, which takes a place in `widgets_values`."""
        return False


class WidgetInput(Input):
    """An input whose value can be typed in the node."""

    def __init__(
        self,
        id: str,
        *arguments: Any,
        default: Any = None,
        socketless: bool | None = None,
        widget_type: str | None = None,
        force_input: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.default, self.socketless = default, socketless
        self.widget_type, self.force_input = widget_type, force_input

    def get_io_type(self) -> str:
        return self.widget_type or self.io_type

    @property
    def has_widget(self) -> bool:
        return not self.force_input


class Output:
    """A result socket of a node."""

    io_type = "*"

    def __init__(
        self,
        id: str | None = None,
        display_name: str | None = None,
        tooltip: str | None = None,
        is_output_list: bool = False,
    ) -> None:
        self.id, self.display_name = id, display_name or id
        self.tooltip, self.is_output_list = tooltip, is_output_list


class ComfyTypeI:
    """A socket type with inputs only."""

    io_type = "*"
    Type: Any = Any
    Input: Any = Input


class ComfyTypeIO(ComfyTypeI):
    """A socket type with inputs and outputs."""

    Output: Any = Output


def comfytype(io_type: str) -> Any:
    """Class decorator: binds a socket type's name to a class and to its nested Input and Output."""

    def decorate(cls: type) -> type:
        bases = (cls,) if issubclass(cls, ComfyTypeI) else (cls, ComfyTypeIO)
        kind = type(cls.__name__, bases, {"io_type": io_type, "__doc__": cls.__doc__})
        for part in ("Input", "Output"):
            if hasattr(kind, part):
                original = getattr(kind, part)
                setattr(kind, part, type(part, (original,), {"io_type": io_type, "__doc__": original.__doc__}))
        return kind

    return decorate


def Custom(io_type: str) -> Any:
    """A socket type of any name."""
    return comfytype(io_type)(type("CustomType", (ComfyTypeIO,), {}))


class BooleanInput(WidgetInput):
    """A switch."""

    def __init__(
        self, id: str, *arguments: Any, label_on: str | None = None, label_off: str | None = None, **common: Any
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.label_on, self.label_off = label_on, label_off


class NumberInput(WidgetInput):
    """A whole or decimal number with limits."""

    def __init__(
        self,
        id: str,
        *arguments: Any,
        min: float | None = None,
        max: float | None = None,
        step: float | None = None,
        display_mode: NumberDisplay | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.min, self.max, self.step, self.display_mode = min, max, step, display_mode


class IntInput(NumberInput):
    """A whole number; a seed has `control_after_generate`, which takes a widget slot of its own."""

    def __init__(
        self, id: str, *arguments: Any, control_after_generate: bool | ControlAfterGenerate | None = None, **common: Any
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.control_after_generate = control_after_generate


class FloatInput(NumberInput):
    """A decimal number."""

    def __init__(
        self,
        id: str,
        *arguments: Any,
        round: float | None = None,
        gradient_stops: list[dict[str, Any]] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.round, self.gradient_stops = round, gradient_stops


class StringInput(WidgetInput):
    """A line or a field of text."""

    def __init__(
        self,
        id: str,
        *arguments: Any,
        multiline: bool = False,
        placeholder: str | None = None,
        dynamic_prompts: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, *arguments, **common)
        self.multiline, self.placeholder, self.dynamic_prompts = multiline, placeholder, dynamic_prompts


class ComboInput(WidgetInput):
    """A choice from a list."""

    multiselect = False

    def __init__(
        self,
        id: str,
        options: Sequence[Any] | type[Enum] | None = None,
        *arguments: Any,
        default: Any = None,
        control_after_generate: bool | ControlAfterGenerate | None = None,
        upload: UploadType | None = None,
        image_folder: FolderType | None = None,
        remote: Any = None,
        **common: Any,
    ) -> None:
        if isinstance(options, type):
            options = [member.value for member in options]
        super().__init__(id, *arguments, default=default.value if isinstance(default, Enum) else default, **common)
        self.options = list(options or [])
        self.control_after_generate, self.upload = control_after_generate, upload
        self.image_folder, self.remote = image_folder, remote


class MultiComboInput(ComboInput):
    """Several choices from a list; the value is a list."""

    multiselect = True

    def __init__(
        self,
        id: str,
        options: Sequence[str],
        *arguments: Any,
        placeholder: str | None = None,
        chip: bool | None = None,
        **common: Any,
    ) -> None:
        super().__init__(id, options, *arguments, **common)
        self.placeholder, self.chip = placeholder, chip


class ComboOutput(Output):
    """A choice as a result."""

    def __init__(
        self, id: str | None = None, display_name: str | None = None, options: Sequence[str] = (), **common: Any
    ) -> None:
        super().__init__(id, display_name, **common)
        self.options = list(options)
