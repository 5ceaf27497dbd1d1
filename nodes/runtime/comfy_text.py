"""The text encoders as a native CLIP, so that CLIPTextEncode and every node that takes a CLIP work on them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.utils
import torch
from torch import Tensor, nn

from moviegen_core.conditioning.text import TextEncoders, encode_prompt
from moviegen_core.errors import BackendError
from moviegen_core.models.text import TextEncoder, load_text_encoder

from .. import convert, sound_convert

logger = logging.getLogger(__name__)

KEY = "moviegen"  # of the one entry in our tokens


class Tokens(dict[str, Any]):
    """Tokens that answer nodes for other text encoders, which ask for "l", "t5xxl" and the like, with a sentence."""

    def __missing__(self, key: str) -> Any:
        raise BackendError(
            f"this node reads {key!r} tokens, which Movie Gen's text encoders do not make; encode the prompt with CLIP "
            "Text Encode or Text Encode (Movie Gen)"
        )


class PromptKeeper:
    """ComfyUI's tokenizer: keeps the prompt as it is, because each encoder reads other parts of it."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        del embedding_directory, tokenizer_data

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, *, fps: float = 16, show_text: str | None = None,
        sound: bool = False, **unused: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Prompt -> tokens; prompt weights such as (word:1.2) are read as plain text. `sound`: of a sound's caption."""
        prompt = SimpleNamespace(text=text, fps=fps, show_text=show_text, sound=sound)
        return Tokens({KEY: [[(prompt, 1.0, 0) if return_word_ids else (prompt, 1.0)]]})

    def untokenize(self, tokens: Any) -> list[Any]:
        """Tokens -> the prompt they came from."""
        return [(token, token[0].text) for token in tokens]

    def state_dict(self) -> dict[str, Any]:
        """Nothing to save: tokenizers are in the encoders' files."""
        return {}


@dataclass
class Place:
    """Where to work; known to the module and its parts, so that they need not know each other.

    A module in a circle of references outlives its last user until a full garbage collection: ComfyUI calls it a leak.
    """

    device: Any


class OnDevice:
    """A text encoder that works where ComfyUI says, whatever device its weights wait on."""

    def __init__(self, encoder: TextEncoder, place: Place) -> None:
        self.encoder = encoder
        self.place = place

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts -> features [B, L, De] and mask [B, L]."""
        return self.encoder.encode(prompts, self.place.device)


class HostedEncoders(nn.Module):
    """What ComfyUI's CLIP holds: all encoders in one module."""

    def __init__(self, encoders: dict[str, TextEncoder], device: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.dtypes = {dtype}
        self.place = Place(device)
        self.width = max(encoder.dim for encoder in encoders.values())
        self.placed = {role: OnDevice(encoder, self.place) for role, encoder in encoders.items()}
        for module in self.encoders.modules():
            # transformers makes plain layers; ComfyUI's own class is what streams weights on small GPUs.
            hosted = getattr(comfy.ops.manual_cast, type(module).__name__, None)
            if hosted is not None and type(module).__module__.startswith("torch.nn."):
                module.__class__ = hosted
                if not hasattr(module, "bias"):
                    module.bias = None  # ComfyUI's classes all have one

    @cached_property
    def roles(self) -> TextEncoders:
        """All of them as films read prompts; only then the log tells which is left out."""
        return TextEncoders(**self.placed)

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """ComfyUI says where to work, when it has loaded what fits there; skipping layers has no meaning here."""
        if "execution_device" in options:
            self.place.device = options["execution_device"]
            self._bring_what_is_not_streamed()

    def _bring_what_is_not_streamed(self) -> None:
        """ComfyUI casts weights of its own layers where they are used; all else of a part left behind must follow."""
        for module in self.encoders.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(self.place.device))
            if not hasattr(module, "comfy_cast_weights"):
                for name, parameter in module.named_parameters(recurse=False):
                    if parameter.device != self.place.device:
                        comfy.utils.set_attr_param(module, name, parameter.to(self.place.device))

    def reset_clip_options(self) -> None:
        """Nothing to undo: the device is said before each run."""

    def load_sd(self, state_dict: dict[str, Tensor]) -> tuple[list[str], list[str]]:
        """Weights came with the encoders."""
        del state_dict
        return [], []

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[Tensor, None]:
        """Tokens -> packed context [B, L, E + D], no pooled output."""
        prompts = [row[0][0] for row in tokens[KEY]]
        if prompts[0].sound:
            packed = sound_convert.encode_caption(
                self.placed.get(sound_convert.READ), [prompt.text for prompt in prompts], self.width
            )
            return packed.to(comfy.model_management.intermediate_device()), None
        conditioning = encode_prompt(
            self.roles, [prompt.text for prompt in prompts], fps=prompts[0].fps, show_text=prompts[0].show_text
        )
        packed = convert.pack(conditioning, self.width)
        return packed.to(comfy.model_management.intermediate_device()), None


class MovieGenCLIP(comfy.sd.CLIP):
    """comfy.sd.CLIP that works with its patcher's module: Select CLIP Device exchanges the patcher alone.

    Core's own encoders go on with the old weights, which they cast layer by layer; those of transformers cannot.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "patcher":
            super().__setattr__("cond_stage_model", value.model)

    def clone(self, *given: Any, **named: Any) -> Any:
        """As core's, of this class."""
        copied = super().clone(*given, **named)
        copied.__class__ = MovieGenCLIP
        return copied


def choose_dtype(device: Any) -> torch.dtype:
    """What the encoders compute in: T5 overflows in float16, and plain layers cannot add float8."""
    manage = comfy.model_management
    wished = manage.text_encoder_dtype(device)
    if wished in (torch.bfloat16, torch.float32):
        return wished
    chosen = torch.bfloat16 if manage.should_use_bf16(device) else torch.float32
    if wished != torch.float16:  # which is also what ComfyUI says when nobody asks
        logger.warning("Movie Gen's text encoders cannot compute in %s; they use %s", wished, chosen)
    return chosen


def load_clip(paths: dict[str, Path]) -> Any:
    """Text encoder files by role -> CLIP."""
    dtype = choose_dtype(comfy.model_management.text_encoder_device())
    encoders = {role: load_text_encoder(role, path, dtype=dtype) for role, path in paths.items()}

    def build(device: Any, dtype: torch.dtype, model_options: dict[str, Any]) -> HostedEncoders:
        del model_options
        return HostedEncoders(encoders, device, dtype).to(device)

    target = SimpleNamespace(params={}, clip=build, tokenizer=PromptKeeper)
    parameters = sum(weight.numel() for encoder in encoders.values() for weight in encoder.parameters())
    # transformers reads some weights outside of layers: they must be whole, not streamed on demand.
    clip = MovieGenCLIP(target, parameters=parameters, model_options={"dtype": dtype}, disable_dynamic=True)
    clip.patcher.cached_patcher_init = (load_patcher, (paths,))
    return clip


def load_patcher(paths: dict[str, Path], disable_dynamic: bool = True) -> Any:
    """As ComfyUI calls it again for clones on other devices; it is never dynamic."""
    del disable_dynamic
    return load_clip(paths).patcher
