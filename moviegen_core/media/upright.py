"""A film's pictures as they are meant to be seen: turned, with square pixels, of one size, in the colours of sRGB."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MediaError
from .files import existing, opened
from .timeline import picture_stream

UNSPECIFIED = 2  # H.273 code of a matrix that nobody told
HDR_TRANSFERS = (16, 18)  # H.273: PQ and HLG
COMFYUI_TAGS = {"prompt", "workflow"}  # of its films, which are BT.601 at any size and do not say so
HD_WIDTH, SD_HEIGHT = 1280, 576  # pixels; from the one on, and above the other, untold colours are those of BT.709


class Upright:
    """Decoded frames of one stream -> uint8 [H, W, 3].

    Larger pictures are averaged down until their shorter side has `shorter_side` pixels. All have the size of the
    first one: broadcasts and recorded calls change theirs on the way.
    """

    def __init__(self, stream: Any, *, shorter_side: int | None = None) -> None:
        self.aspect = stream.sample_aspect_ratio or 1
        self.broadcast = not COMFYUI_TAGS & stream.container.metadata.keys()
        self.shorter_side = shorter_side
        self.size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> Tensor:
        """The next frame."""
        if self.size is None:
            self.size = self._size(frame)
        height, width = self.size
        options: dict[str, Any] = {}
        if (frame.height, frame.width) != (height, width):
            smaller = height <= frame.height and width <= frame.width
            options = {"height": height, "width": width, "interpolation": "AREA" if smaller else "BICUBIC"}
        if self.broadcast and _untold_hd(frame):
            options["src_colorspace"] = "ITU709"
        return torch.from_numpy(frame.to_ndarray(format="rgb24", **options)).rot90(frame.rotation // 90)

    def shape(self, frame: Any) -> tuple[int, int]:
        """(height, width) of what a first frame becomes."""
        height, width = self._size(frame)
        return (width, height) if frame.rotation % 180 else (height, width)

    def _size(self, frame: Any) -> tuple[int, int]:
        """Before it is turned."""
        height, width = frame.height, frame.width
        if self.aspect != 1:
            width = max(2, 2 * round(width * self.aspect / 2))  # even, as most encoders want it
        scale = 1.0 if self.shorter_side is None else min(1.0, self.shorter_side / min(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


def is_hdr(path: str | os.PathLike[str]) -> bool:
    """Whether a film's brightness is coded as PQ or HLG, which looks washed out when it is taken as it is."""
    source = existing(path)
    with opened(source) as container:
        return int(picture_stream(container, source).codec_context.color_trc) in HDR_TRANSFERS


def refuse_hdr(path: str | os.PathLike[str]) -> None:
    """MediaError for an HDR film."""
    if is_hdr(path):
        raise MediaError(f"{Path(path).name} is HDR, and its colours would be washed out; convert it to SDR first")


def _untold_hd(frame: Any) -> bool:
    """Whether it must be guessed what the colours mean, and they are those of HD."""
    large = frame.width >= HD_WIDTH or frame.height > SD_HEIGHT
    return large and int(frame.colorspace) == UNSPECIFIED and not frame.format.is_rgb
