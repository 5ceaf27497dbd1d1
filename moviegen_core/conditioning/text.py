"""Prompt -> conditioning: UL2 and MetaCLIP read the whole prompt, ByT5 only the text to be shown.

The frame rate rides in front of the prompt as a tag ("FPS-16"), as in the paper (section 3.4). The
empty prompt has no valid token at all: it is the null condition of classifier-free guidance (assumption).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import ConfigError
from ..models.text.model import ROLES
from .types import Conditioning

logger = logging.getLogger(__name__)

# The paper's sixteen camera motions, and the six kinds of shot it adds in fine-tuning (section 3.2.1).
CAMERA_MOTIONS = (
    "zoom in",
    "zoom out",
    "push in",
    "pull out",
    "pan right",
    "pan left",
    "truck right",
    "truck left",
    "tilt up",
    "tilt down",
    "pedestal up",
    "pedestal down",
    "arc shot",
    "tracking shot",
    "static shot",
    "handheld shot",
)
SHOT_TYPES = ("wide shot", "close-up", "aerial shot", "low angle shot", "over the shoulder shot", "first person shot")

# Apostrophes in words (don't), after them (dogs') and before clippings ('90s, 'n') open no quotation.
_CLIPPINGS = r"\d\ds\b|n'|tis\b|twas\b|em\b|til\b|cause\b"
_QUOTED = re.compile(
    r'(?<!\w)"([^"]*)"'
    r"|“([^“”]+)”"
    r"|„([^„“”]+)[“”]"
    r"|«([^«»]+)»"
    r"|(?<!\w)‘((?:[^‘’]|(?<=\w)’(?=\w))+)’(?!\w)"
    rf"|(?<![\w'])'(?=\S)(?!{_CLIPPINGS})((?:[^']|(?<=\w)'(?=\w))+)(?<=\S)'(?!\w)"
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+")
_OF_CAMERA = re.compile(r"(the camera|(static|still|steady|fixed) camera)\b[^\"]*$", re.IGNORECASE)
_CAMERA = re.compile(rf"\s*({'|'.join(CAMERA_MOTIONS + SHOT_TYPES)})\s*(?:[.,:;]\s*|$)", re.IGNORECASE)


class Encodes(Protocol):
    """What a text encoder can do here: list of B texts -> tokens [B, L, De] and mask [B, L]."""

    def encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, eq=False)
class TextEncoders:
    """The three encoders; one that is None is left out, and the log says so once."""

    ul2: Encodes | None = None
    metaclip: Encodes | None = None
    byt5: Encodes | None = None

    def __post_init__(self) -> None:
        missing = [name for name in ROLES if getattr(self, name) is None]
        if len(missing) == 3:
            raise ConfigError("no text encoder was given; load at least one of ul2, metaclip, byt5")
        for name in missing:
            logger.warning("text encoder %s is not loaded: its tokens are left out of every prompt", name)


def quoted_strings(prompt: str) -> list[str]:
    """The strings in straight or typographic quotation marks, in order; apostrophes are no quotes."""
    found = (next(group for group in match.groups() if group is not None) for match in _QUOTED.finditer(prompt))
    return [text.strip() for text in found if text.strip()]


def fps_tag(fps: float) -> str:
    """16 -> "FPS-16"."""
    return f"FPS-{fps:g}"


def split_camera(prompt: str) -> tuple[str | None, str]:
    """("Pan left. A red ball") -> ("pan left", "A red ball"); (None, prompt) where there is no camera prefix."""
    match = _CAMERA.match(prompt)
    return (match.group(1).lower(), prompt[match.end() :]) if match else (None, prompt)


def add_camera(prompt: str, camera: str) -> str:
    """Put a camera motion or shot type in front of the prompt, replacing what the prompt says of the same.

    That is its prefix, and for a motion also sentences about the camera ("The camera pans left."). The paper prepends
    the class to the caption (section 3.2.1); the exact wording is an assumption. ConfigError for an unknown one.
    """
    camera = str(camera).strip().lower()
    camera = "static shot" if camera == "static" else camera
    if camera not in CAMERA_MOTIONS + SHOT_TYPES:
        raise ConfigError(f"{camera!r} is no known camera motion; use one of {', '.join(CAMERA_MOTIONS + SHOT_TYPES)}")
    present, rest = split_camera(prompt)
    if present is not None and (present in CAMERA_MOTIONS) == (camera in CAMERA_MOTIONS):
        prompt = rest
    if camera in CAMERA_MOTIONS:
        sentences = _SENTENCES.split(prompt.strip())
        kept = [sentence for sentence in sentences if not _OF_CAMERA.match(sentence)]
        prompt = prompt if len(kept) == len(sentences) else " ".join(kept)
    return f"{camera.capitalize()}. {prompt}".strip()


def encode_prompt(
    encoders: TextEncoders,
    prompt: str | Sequence[str],
    *,
    fps: float | None = 16,
    show_text: str | Sequence[str] | None = None,
    bring: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
) -> Conditioning:
    """B prompts -> Conditioning; blank prompts become the null condition.

    `fps` None adds no tag; a space separates it from the prompt, and several quoted strings from each other
    (assumptions). `show_text` (one string, or one per prompt) replaces the quoted strings
    that ByT5 otherwise finds in each prompt; "" shows none. Each encoder that has something to
    read does so within `bring(encoder)`, one after the other. ConfigError where there is no prompt, or another number
    of texts to show.
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ConfigError("encode_prompt got no prompt; give at least one string (it may be empty)")
    if show_text is None:
        shown = [" ".join(quoted_strings(text)) for text in prompts]
    else:
        shown = [show_text] * len(prompts) if isinstance(show_text, str) else list(show_text)
        if len(shown) != len(prompts):
            raise ConfigError(f"{len(shown)} texts to show were given for {len(prompts)} prompts; give one for each")
    tag = "" if fps is None else f"{fps_tag(fps)} "
    whole = [f"{tag}{text.strip()}" if text.strip() else "" for text in prompts]
    context: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for name, encoder, texts in (
        ("ul2", encoders.ul2, whole),
        ("metaclip", encoders.metaclip, whole),
        ("byt5", encoders.byt5, [text.strip() for text in shown]),
    ):
        if encoder is not None and any(texts):
            with bring(encoder):
                context[name], masks[name] = _encode_filled(encoder, texts)
    return Conditioning(context, masks, len(prompts))


def _encode_filled(encoder: Encodes, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Encode the texts that are not empty; the rows of the others are masked zeros."""
    filled = [row for row, text in enumerate(texts) if text]
    tokens, mask = encoder.encode([texts[row] for row in filled])
    if len(filled) == len(texts):
        return tokens, mask
    rows = torch.tensor(filled, device=tokens.device)
    return (
        tokens.new_zeros(len(texts), *tokens.shape[1:]).index_copy(0, rows, tokens),
        mask.new_zeros(len(texts), mask.shape[1]).index_copy(0, rows, mask),
    )
