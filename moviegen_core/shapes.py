"""Every pixel <-> latent <-> token rule, once.

The temporal autoencoder compresses 8 x 8 x 8 (frames, rows, columns); lengths round up and the
spurious frames of the last latent are dropped after decoding (paper, figure 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

from .errors import ConfigError, ShapeError

TEMPORAL_STRIDE = 8  # frames per latent frame
SPATIAL_STRIDE = 8  # pixels per latent row or column
LATENT_CHANNELS = 16
PATCH_SIZE = (1, 2, 2)  # latent frames, rows, columns per token
SIZE_MULTIPLE = SPATIAL_STRIDE * PATCH_SIZE[1]  # pixel sizes that give whole tokens
SOUND_SAMPLE_RATE = 48_000  # Hz (paper, figure 28)
SOUND_HOP = 1920  # samples per sound frame
SOUND_LATENT_CHANNELS = 128
SOUND_LATENT_RATE = SOUND_SAMPLE_RATE // SOUND_HOP  # sound frames a second: 25

MAX_SECONDS = 1e6  # of anything: eleven days
MAX_FPS = 1000.0

ROUNDINGS = ("nearest", "up", "down")


@dataclass(frozen=True, slots=True)
class LengthRule:
    """Lengths that an autoencoder holds without waste: `frames` n + `rest`, in `latents` n + `first` latent frames."""

    frames: int
    rest: int = 0
    latents: int = 1
    first: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1 or self.rest < 0:
            raise ConfigError(f"lengths of {self.frames} n + {self.rest} frames were asked for; use at least 1 n + 0")

    def nearest(self, frames: Fraction, rounding: str = "nearest") -> int:
        """The length that comes closest to `frames`, at least one; "up": none that is shorter, "down": none longer.

        ConfigError for an unknown rounding.
        """
        if rounding not in ROUNDINGS:
            raise ConfigError(f"rounding {rounding!r} is unknown; use one of {', '.join(ROUNDINGS)}")
        steps = (frames - self.rest) / self.frames
        count = math.ceil(steps) if rounding == "up" else math.floor(steps) if rounding == "down" else round(steps)
        return self.rest + self.frames * max(count, 0 if self.rest else 1)

    def latent_frames(self, length: int) -> int:
        """Latent frames of a length, rounded up."""
        steps = -(-(length - self.rest) // self.frames)
        return self.latents * steps + (self.first if self.rest else 0)


# From the empty-latent nodes of ComfyUI 0.33; Movie Gen's own rounds up, so that every length is accepted.
LENGTH_RULES = {
    "movie_gen": LengthRule(TEMPORAL_STRIDE),
    "wan": LengthRule(4, 1),
    "hunyuan_video": LengthRule(4, 1),
    "ltx_video": LengthRule(8, 1),
    "cosmos": LengthRule(8, 1),
    "mochi": LengthRule(6, 1),
    "kandinsky": LengthRule(4, 1),
    "minimax_h3": LengthRule(17, 5, latents=5, first=2),
    "any": LengthRule(1),
}


@dataclass(frozen=True, slots=True)
class LatentShape:
    """Size of a latent clip [B, C, T, H, W]."""

    batch: int
    channels: int
    frames: int
    rows: int
    columns: int

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        """(B, C, T, H, W), ready for torch.randn."""
        return self.batch, self.channels, self.frames, self.rows, self.columns


def latent_frames(num_frames: int) -> int:
    """Pixel frames -> latent frames, rounded up: 1 -> 1, 8 -> 1, 9 -> 2, 256 -> 32; ShapeError for none."""
    if num_frames < 1:
        raise ShapeError(f"a clip of {num_frames} frames was asked for; it needs at least 1")
    return -(-num_frames // TEMPORAL_STRIDE)


def decoded_frames(frames: int) -> int:
    """Latent frames -> frames that the decoder gives before spurious ones are dropped."""
    return frames * TEMPORAL_STRIDE


def clip_latent(num_frames: int, height: int, width: int, *, batch: int = 1) -> LatentShape:
    """Latent shape of a clip given in pixels; ShapeError unless both sides are multiples of 16."""
    for side, size in (("height", height), ("width", width)):
        if size < SIZE_MULTIPLE or size % SIZE_MULTIPLE:
            nearest = max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE)
            raise ShapeError(f"{side} {size} is not a multiple of {SIZE_MULTIPLE} pixels; use {nearest}")
    return LatentShape(
        batch, LATENT_CHANNELS, latent_frames(num_frames), height // SPATIAL_STRIDE, width // SPATIAL_STRIDE
    )


def seconds_to_frames(seconds: float, fps: float) -> int:
    """Duration -> whole number of frames, at least one."""
    check_duration(seconds)
    return max(1, round(seconds * fps))


def check_whole(**values: object) -> None:
    """ConfigError for the first of the named values that is no whole number."""
    for name, value in values.items():
        if not isinstance(value, Integral):
            raise ConfigError(f"{name} is {value!r}; give a whole number")


def check_number(**values: object) -> None:
    """ConfigError for the first of the named values that is no number."""
    for name, value in values.items():
        if not isinstance(value, Real):
            raise ConfigError(f"{name} is {value!r}; give a number")


def check_duration(seconds: float) -> None:
    """ConfigError for what no clip can last."""
    check_number(seconds=seconds)
    if not 0 < seconds <= MAX_SECONDS:
        raise ConfigError(f"{seconds:g} seconds were asked for; use a number above 0 and up to {MAX_SECONDS:,.0f}")


def plan_frames(seconds: float, fps: float, family: str | LengthRule = "any", rounding: str = "nearest") -> int:
    """Length in frames that comes closest to `seconds` at `fps` among those that `family` accepts; at least one.

    ConfigError for unknown names and numbers out of range.
    """
    if isinstance(family, str):
        if family not in LENGTH_RULES:
            raise ConfigError(f"model family {family!r} is unknown; use one of {', '.join(LENGTH_RULES)}")
        family = LENGTH_RULES[family]
    check_duration(seconds)
    if not 0 < fps <= MAX_FPS:
        raise ConfigError(f"{fps:g} frames a second were asked for; use a number above 0 and up to {MAX_FPS:g}")
    # Frames to a millionth: 0.1 s at 30 fps is 3 frames, not 3.0000000000000004.
    return family.nearest(Fraction(round(seconds * fps * 1_000_000), 1_000_000), rounding)


def sound_latent_frames(samples: int) -> int:
    """Samples at 48 kHz -> sound frames, rounded up: 1 -> 1, 1920 -> 1, 1921 -> 2; ShapeError for none."""
    if samples < 1:
        raise ShapeError(f"a sound of {samples} samples was given; it needs at least 1")
    return -(-samples // SOUND_HOP)
