"""A sampled clip that decodes itself: as windows, as frames, as a file, as a contact sheet."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import ConfigError, MediaError, ShapeError
from ..media.formats import ENCODED_ENDINGS, PICTURE_ENDINGS
from .soundtrack import Sound

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

STILL_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Film:
    """A sampled clip, with its sound if it has one; pixels are decoded window by window whenever they are asked for."""

    latent: Tensor = field(repr=False)  # [1, C, T, H, W], on the CPU
    num_frames: int
    fps: float
    decode: Callable[[Tensor, int], Iterator[Tensor]] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)  # how it was made; written into the file
    sound: Sound | None = None

    @property
    def duration_seconds(self) -> float:
        """Length on the screen."""
        return self.num_frames / self.fps

    def windows(self) -> Iterator[Tensor]:
        """Consecutive pixel windows [1, 3, t, H, W] in [-1, 1], decoded as they are asked for."""
        return self.decode(self.latent, self.num_frames)

    def frames(self) -> Tensor:
        """The whole clip [1, 3, T, H, W] in [-1, 1]; 16 s at 768 x 768 take 1.8 GB.

        ShapeError where it decodes to another number of frames.
        """
        made: Tensor | None = None
        begin = 0
        # Windows that are kept would hold what they share with their neighbours twice.
        for window in self.windows():
            if made is None:
                made = torch.empty(*window.shape[:2], self.num_frames, *window.shape[3:])
            made[:, :, begin : begin + window.shape[2]] = window[:, :, : self.num_frames - begin]
            begin += window.shape[2]
        if made is None or begin != self.num_frames:
            raise ShapeError(f"{self.num_frames} frames were to be decoded, and {begin} came; decode the latent anew")
        return made

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the film with its sound while decoding, one frame also as a picture: .png, .jpg or .webp.

        Nothing is left under `path` unless it is complete. `options` go to media.movie.write_movie (crf, ...); pictures
        have none, and only .png holds the facts. ConfigError for options that there are not.
        """
        from ..media.movie import write_movie

        path = Path(path)
        still = path.suffix.lower() in PICTURE_ENDINGS
        known = [] if still else list(inspect.signature(write_movie).parameters)[3:]
        if unknown := sorted(set(options) - set(known)):
            what = "picture" if still else "film"
            raise ConfigError(f"a {what} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
        if still:
            self._save_still(path)
            return path
        # Not as tags of their own: ComfyUI reads a tag named "prompt" as a graph.
        given: dict[str, Any] = {"metadata": {"moviegen": dict(self.facts)}}
        if self.sound is not None:
            given |= {"waveform": self.sound.waveform, "sample_rate": self.sound.sample_rate}
            given["metadata"]["moviegen"]["sound"] = dict(self.sound.facts)
        write_movie(self.windows(), path, self.fps, **{**given, **options})
        return path

    def _save_still(self, path: Path) -> None:
        from PIL.PngImagePlugin import PngInfo

        from ..media.files import replacing
        from ..media.frames import to_images

        if self.num_frames != 1:
            raise MediaError(
                f"{path.name} is a picture, which holds one frame, and the film has {self.num_frames}; end the name in "
                f"{' or '.join(ENCODED_ENDINGS)}"
            )
        if self.sound is not None:
            logger.warning("%s is a picture: the film's sound is left out", path.name)
        facts = PngInfo()
        facts.add_text("moviegen", json.dumps(dict(self.facts)))
        with replacing(path) as temporary:
            to_images(self.frames()[0])[0].save(temporary, quality=STILL_QUALITY, pnginfo=facts)

    def contact_sheet(self, count: int = 12, columns: int = 4) -> Image:
        """`count` frames spread evenly over the clip, in rows of `columns`."""
        from ..media.frames import contact_sheet

        count = min(count, self.num_frames)
        wanted = {round(index * (self.num_frames - 1) / max(1, count - 1)) for index in range(count)}
        chosen, start = [], 0
        for window in self.windows():
            inside = [index - start for index in sorted(wanted) if start <= index < start + window.shape[2]]
            chosen.append(window[0, :, inside].float().cpu())
            start += window.shape[2]
        return contact_sheet(torch.cat(chosen, dim=1), columns)
