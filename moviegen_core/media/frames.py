"""Frames as pictures: number ranges, contact sheets, animated WebP.

Shape letters: T frames, H rows, W columns. Core pixels are [3, T, H, W] in [-1, 1]; files hold uint8 [T, H, W, 3].
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import MediaError, ShapeError
from .files import replacing

if TYPE_CHECKING:
    from PIL import Image

LABEL_HEIGHT = 14  # pixels of a contact sheet's caption line


def to_uint8(pixels: Tensor) -> Tensor:
    """pixels [..., 3, T, H, W] in [-1, 1] -> uint8 [..., T, H, W, 3] on the CPU; clipped, NaN is grey.

    ShapeError for other shapes.
    """
    if pixels.ndim < 4 or pixels.shape[-4] != 3:
        raise ShapeError(f"pixels of shape {tuple(pixels.shape)} were given; frames need [..., 3, T, H, W]")
    levels = pixels.detach().float().nan_to_num(0.0, 1.0, -1.0).add(1.0).mul(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).movedim(-4, -1).contiguous().cpu()


def from_uint8(frames: Any) -> Tensor:
    """uint8 [..., T, H, W, 3] (tensor or array) -> float32 pixels [..., 3, T, H, W] in [-1, 1].

    ShapeError for anything else.
    """
    tensor = torch.as_tensor(frames)
    if tensor.dtype != torch.uint8 or tensor.ndim < 4 or tensor.shape[-1] != 3:
        raise ShapeError(f"frames of {tensor.dtype} {tuple(tensor.shape)} were given; give uint8 [..., T, H, W, 3]")
    return tensor.movedim(-1, -4).float().div_(127.5).sub_(1.0)


def to_images(frames: Any) -> list[Image.Image]:
    """Pixels [3, T, H, W] or uint8 [T, H, W, 3] (tensor or array) -> one PIL picture a frame; ShapeError for others."""
    from PIL import Image

    tensor = torch.as_tensor(frames)
    if tensor.dtype != torch.uint8:
        tensor = to_uint8(tensor)
    if tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ShapeError(f"one clip [T, H, W, 3] is needed; the frames have the shape {tuple(tensor.shape)}")
    return [Image.fromarray(frame) for frame in tensor.cpu().numpy()]


def contact_sheet(
    frames: Any, columns: int = 8, labels: Sequence[str] | None = None, *, gap: int = 2, background: str = "#202124"
) -> Image.Image:
    """One picture with all frames in reading order; `labels` are written under them, one a frame.

    `frames` is one clip as `to_images` takes it, or a list of PIL pictures of one size. MediaError for no frames, or
    labels of another number.
    """
    from PIL import Image, ImageDraw, ImageFont

    images = list(frames) if isinstance(frames, (list, tuple)) else to_images(frames)
    if not images:
        raise MediaError("a contact sheet of no frames was asked for; give at least one frame")
    if labels is not None and len(labels) != len(images):
        raise MediaError(f"{len(labels)} labels were given for {len(images)} frames; give one a frame or none")
    columns = max(1, min(columns, len(images)))
    width, height = images[0].size
    cell = height + (LABEL_HEIGHT if labels is not None else 0)
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (cell + gap) + gap), background)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for index, image in enumerate(images):
        left, top = gap + index % columns * (width + gap), gap + index // columns * (cell + gap)
        sheet.paste(image.convert("RGB"), (left, top))
        if labels is not None:
            draw.text((left + 1, top + height + 1), _fitting(labels[index], width - 2, font.getlength), "white", font)
    return sheet


def save_webp(frames: Any, path: str | os.PathLike[str], *, fps: float = 16.0, quality: int = 80) -> Path:
    """Writes an animated WebP (millisecond clock) that goes round; `quality` 0..100, 100 is lossless.

    MediaError for no frames.
    """
    images = to_images(frames)
    if not images:
        raise MediaError(f"{path}: no frames to save; give at least one")
    durations = [round((index + 1) * 1000 / fps) - round(index * 1000 / fps) for index in range(len(images))]
    options: dict[str, Any] = {"quality": quality, "lossless": quality >= 100, "method": 4, "loop": 0}
    with replacing(path) as temporary:
        images[0].save(temporary, "WEBP", save_all=True, append_images=images[1:], duration=durations, **options)
    return Path(path)


def _fitting(text: str, width: int, measure: Callable[[str], float]) -> str:
    """The longest beginning of `text` that is at most `width` pixels long, marked when it was cut."""
    if measure(text) <= width:
        return text
    while text and measure(text + "..") > width:
        text = text[:-1]
    return text + ".."
