"""Captioned clips to adapt a model to: a user's films and pictures, or scenes of the toybox.

A user's folder holds films and pictures of any size and frame rate, and for each a text of the same name (beach.mp4,
beach.txt) that says what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .. import toybox
from ..config import to_dict
from ..errors import ConfigError, MediaError
from ..files import sha256
from ..media.formats import PICTURE_ENDINGS, READ_ENDINGS
from ..media.frames import from_uint8
from ..media.join import Clip, clip_of, fitted
from ..media.movie import read_movie
from ..media.timeline import exact_fps, timeline
from ..media.upright import refuse_hdr
from .latents import caption
from .ranges import at_least

if TYPE_CHECKING:
    from PIL import Image

FILMS = (*READ_ENDINGS, ".gif")
PATIENCE = 300  # scenes looked through for each that a word describes


@dataclass(frozen=True, kw_only=True)
class ShotConfig:
    """The form of every clip."""

    frames: int = 32
    fps: float = 16.0
    height: int = 128  # pixels
    width: int = 128

    def __post_init__(self) -> None:
        at_least(self, 1, "frames", "height", "width")


class Shots(Protocol):
    """Clips by number, each with the captions that may go with it."""

    captions: list[list[str]]

    @property
    def facts(self) -> dict[str, Any]:
        """What the pixels depend on (JSON values)."""
        ...

    def pixels(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """Clips [3, T, H, W] in [-1, 1] of rising numbers."""
        ...


class Films:
    """Films of a folder, cut into shots one after the other, and its pictures as shots of one frame."""

    def __init__(self, folder: Path, config: ShotConfig, *, default: str = "", per_film: int = 8) -> None:
        """`default` is the caption of files without a text; a film gives its first `per_film` shots."""
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; name one that holds films and pictures")
        self.config = config
        self.files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FILMS + PICTURE_ENDINGS)
        if not self.files:
            known = ", ".join(FILMS + PICTURE_ENDINGS)
            raise ConfigError(f"{folder} holds neither films nor pictures ({known}); add some")
        self.clips: dict[Path, Clip] = {}  # of the films that were read
        self.shots: list[tuple[Path, int]] = []
        for file in self.files:
            self.shots += [(file, index) for index in range(self._count(file, per_film))]
        told = {file: [caption_of(file, default)] for file in self.files}
        self.captions = [told[file] for file, _ in self.shots]

    @property
    def facts(self) -> dict[str, Any]:
        """Names and hashes of the files, and the form of the shots."""
        hashes = {file.name: sha256(file) for file in self.files}
        return {"films": hashes, "shots": len(self.shots), "form": to_dict(self.config)}

    def pixels(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """Clips [3, T, H, W] in [-1, 1] of rising numbers; a film is read once for all of its shots."""
        wanted: dict[Path, list[int]] = {}
        for number in numbers:
            file, index = self.shots[number]
            wanted.setdefault(file, []).append(index)
        for file, indices in wanted.items():
            yield from self._picture(file) if file.suffix.lower() in PICTURE_ENDINGS else self._film(file, indices)

    def _count(self, file: Path, per_film: int) -> int:
        if file.suffix.lower() in PICTURE_ENDINGS:
            return 1
        refuse_hdr(file)
        film, rate = read_movie(file), exact_fps(self.config.fps) / self.config.frames
        if film.num_frames / film.fps * rate >= 2 * per_film:
            return per_film  # no header is that wrong, and long films need not be read whole for it
        # A film shorter than a shot is one by itself.
        return min(per_film, max(1, int(timeline(file).seconds * rate)))

    def _picture(self, file: Path) -> Iterator[Tensor]:
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            with Image.open(file) as image:
                frame = np.array(as_rgb(ImageOps.exif_transpose(image)))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise MediaError(f"{file} cannot be read as a picture ({error}); write it again or take it out") from error
        yield from fitted([from_uint8(frame[None])], self.config.height, self.config.width, "crop")

    def _film(self, file: Path, indices: list[int]) -> Iterator[Tensor]:
        if file not in self.clips:
            self.clips[file] = clip_of(file, sound=False)
        config, film = self.config, self.clips[file]
        rate = exact_fps(config.fps)
        windows = fitted(film.at(rate, max(1, round(film.seconds * rate))), config.height, config.width, "crop")
        frames = chain.from_iterable(window.unbind(1) for window in windows)
        at = 0
        for index in indices:
            start = index * config.frames
            shot = list(islice(frames, start - at, start - at + config.frames))
            at = start + config.frames
            if not shot:
                raise MediaError(f"{file} ends before its header says; write it again or take it out")
            yield torch.stack(shot, 1)


class Scenes:
    """Scenes of the toybox, drawn when they are asked for; with `about` those whose caption holds that word."""

    def __init__(self, number: int, config: ShotConfig, *, about: str = "", first_seed: int = 4_000_000) -> None:
        self.config, self.about = config, about
        duration = float(Fraction(config.frames) / exact_fps(config.fps))
        seeds = islice(count(first_seed), PATIENCE * number)
        scenes = (toybox.sample_scene(seed, split="train", duration_seconds=duration) for seed in seeds)
        found = (scene for scene in scenes if about.lower() in caption(scene, 0).lower())
        self.scenes = list(islice(found, number))
        if len(self.scenes) < number:
            raise ConfigError(
                f"{len(self.scenes)} of {number} toybox scenes were found with {about!r} in their caption; choose a "
                "word of docs/toybox.md, or fewer scenes"
            )
        self.captions = [[caption(scene, 0), caption(scene, 1)] for scene in self.scenes]

    @property
    def facts(self) -> dict[str, Any]:
        """The scenes, and the form of the shots."""
        return {"scenes": [scene.to_dict() for scene in self.scenes], "form": to_dict(self.config)}

    def pixels(self, numbers: Sequence[int]) -> Iterator[Tensor]:
        """Clips [3, T, H, W] in [-1, 1] of any numbers."""
        config = self.config
        for number in numbers:
            frames = toybox.render(
                self.scenes[number], num_frames=config.frames, fps=config.fps, height=config.height, width=config.width
            )
            yield from_uint8(np.ascontiguousarray(frames))


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode in 8 bits a colour; convert() alone would turn 16-bit grey white."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray((np.array(image) // 256).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def caption_of(file: Path, default: str) -> str:
    """What the text beside a film says, else `default`; ConfigError where there is neither, or it cannot be read."""
    text = file.with_suffix(".txt")
    try:
        told = " ".join(text.read_text(encoding="utf-8-sig").split()) if text.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{text} cannot be read ({error}); write the caption as plain UTF-8 text") from error
    if told or default:
        return told or default
    raise ConfigError(f"{file.name} has no caption; write what it shows into {text.name}, or give one caption for all")
