"""Conditions of a sound: text, what the video shows at each moment, and sound that is already known.

Shape letters: B batch, L sound frames (25 a second), C latent channels, T text tokens, E width of a token, F width of
a frame's features. Sound frame l covers the clip from l / 25 s to (l + 1) / 25 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, ShapeError
from ..media.timeline import exact_fps
from ..models.sound_match.model import MOMENT_RATE, SoundMatch
from ..ops.resample import squares
from ..shapes import SOUND_LATENT_RATE
from .text import Encodes

LATENT_RATE = SOUND_LATENT_RATE
MOMENTS = MOMENT_RATE // LATENT_RATE  # of motion in a sound frame
QUALITY, QUALITY_WITH_MUSIC = 7.0, 8.0  # paper, inference: for effects alone, and with music
NANO_APPEARANCE_RATE = 6.25  # pictures a second that the nano tower is shown: how things look changes slowly
PUBLIC_SIZE = 224  # pixels a side of what public towers see
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # public towers


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundConditioning:
    """What a sound is made from; None parts are absent, masks are True where something counts.

    `context` holds known latents of the sound itself, `context_mask` says which sound frames are known.
    """

    text: Tensor | None = None  # [B, T, E]
    text_mask: Tensor | None = None  # [B, T]
    frames: Tensor | None = None  # [B, L, F]
    frames_mask: Tensor | None = None  # [B, L]
    context: Tensor | None = None  # [B, C, L]
    context_mask: Tensor | None = None  # [B, L]
    batch: int = 0  # filled in from the tensors; needed only where there are none

    def __post_init__(self) -> None:
        for name, axis in (("text", 1), ("frames", 1), ("context", 2)):
            part, mask = getattr(self, name), getattr(self, f"{name}_mask")
            if part is None:
                if mask is not None:
                    raise ShapeError(f"{name}_mask was given without {name}; give both or none")
                continue
            if part.ndim != 3:
                raise ShapeError(f"{name} is {tuple(part.shape)}; give three axes, of which the batch is the first")
            if mask is None:
                mask = torch.ones(part.shape[0], part.shape[axis], dtype=torch.bool, device=part.device)
                object.__setattr__(self, f"{name}_mask", mask)
            wanted = (part.shape[0], part.shape[axis])
            if mask.dtype != torch.bool or tuple(mask.shape) != wanted:
                raise ShapeError(
                    f"{name} is {tuple(part.shape)} with a {mask.dtype} mask {tuple(mask.shape)}; give a bool mask "
                    f"{wanted}"
                )
        parts = [part for part in (self.text, self.frames, self.context) if part is not None]
        sizes = {part.shape[0] for part in parts} | ({self.batch} if self.batch else set())
        if len(sizes) != 1:
            raise ShapeError(f"a conditioning needs one batch size, at least 1, but got {sorted(sizes)}; repeat one")
        if self.frames is not None and self.context is not None and self.frames.shape[1] != self.context.shape[2]:
            raise ShapeError(
                f"{self.frames.shape[1]} video frames and {self.context.shape[2]} sound frames were given; both count "
                f"{LATENT_RATE} a second and must be equally long"
            )
        object.__setattr__(self, "batch", sizes.pop())

    @classmethod
    def empty(cls, batch: int = 1) -> SoundConditioning:
        """The null condition of `batch` samples: nothing is said, shown or known."""
        return cls(batch=batch)

    @property
    def num_latents(self) -> int | None:
        """Sound frames L that the frames or the context fix; None where text alone is given."""
        if self.frames is not None:
            return self.frames.shape[1]
        return None if self.context is None else self.context.shape[2]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SoundConditioning:
        """The same on another device; `dtype` is for the features, masks stay bool."""

        def moved(part: Tensor) -> Tensor:
            return part.to(device) if part.dtype == torch.bool else part.to(device=device, dtype=dtype)

        return self._each(moved)

    def repeat(self, batch: int) -> SoundConditioning:
        """One condition for `batch` samples; ShapeError when it already holds another number of them."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise ShapeError(f"a conditioning of {self.batch} samples cannot serve {batch}; give 1 or {batch}")
        return replace(self._each(lambda part: part.expand(batch, *part.shape[1:])), batch=batch)

    def window(self, start: int, stop: int) -> SoundConditioning:
        """The part from sound frame `start` up to `stop`; text stays whole."""
        frames, context, mask = self.frames, self.context, self.frames_mask
        return replace(
            self,
            frames=None if frames is None else frames[:, start:stop],
            frames_mask=None if mask is None else mask[:, start:stop],
            context=None if context is None else context[:, :, start:stop],
            context_mask=None if self.context_mask is None else self.context_mask[:, start:stop],
        )

    def with_frames(self, frames: Tensor) -> SoundConditioning:
        """The same for other pictures: features [B, L, F], all of which count."""
        return replace(self, frames=frames, frames_mask=None)

    def with_context(self, context: Tensor | None, mask: Tensor | None = None) -> SoundConditioning:
        """The same with other known sound: [B, C, L] and [B, L]."""
        return replace(self, context=context, context_mask=mask)

    def _each(self, change: Callable[[Tensor], Tensor]) -> SoundConditioning:
        tensors = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "batch"}
        changed = {name: None if part is None else change(part) for name, part in tensors.items()}
        return SoundConditioning(**changed, batch=0 if any(p is not None for p in tensors.values()) else self.batch)


def sound_caption(
    description: str, *, quality: float | None = None, music: float = 0.0, music_description: str | None = None
) -> str:
    """The paper's caption of a sound (table 27).

    description: effects and surroundings, plain English; "" leaves that sentence out (assumption). quality: 1 to 10,
    default the paper's at inference (7, and 8 with music). music: likelihood from 0 to 1 that there is music.
    ConfigError for numbers outside of these.
    """
    if quality is None:
        quality = QUALITY_WITH_MUSIC if music >= 0.5 else QUALITY
    if not 1.0 <= quality <= 10.0:
        raise ConfigError(f"a sound quality of {quality:g} was asked for; use a number from 1 to 10 (paper: 7 or 8)")
    if not 0.0 <= music <= 1.0:
        raise ConfigError(f"a music likelihood of {music:g} was asked for; use a number from 0 to 1")
    sentences = [
        f"This audio has quality: {quality:.1f}.",
        "This audio does not contain speech. This audio does not contain vocal singing.",
        f"This audio contains music with a {music:.2f} likelihood.",
    ]
    if description.strip():
        sentences.append(f'This audio has a description: "{_quoted(description)}".')
    if music_description and music_description.strip():
        sentences.append(f'This audio has a music description (if applicable): "{_quoted(music_description)}".')
    return " ".join(sentences)


def encode_captions(encoder: Encodes, captions: str | Sequence[str]) -> SoundConditioning:
    """B captions -> text part of a conditioning; an empty caption has no valid token."""
    texts = [captions] if isinstance(captions, str) else list(captions)
    if not any(text.strip() for text in texts):
        return SoundConditioning.empty(max(1, len(texts)))
    tokens, mask = encoder.encode(texts)
    said = torch.tensor([bool(text.strip()) for text in texts], device=mask.device)
    return SoundConditioning(text=tokens, text_mask=mask & said[:, None])


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameEncoders:
    """What looks at the video: a CLIP vision tower, a sound match for what moves, or both (features side by side).

    The paper's model reads the tower alone. `appearance_rate` is how many pictures a second the tower is shown at most;
    from 25 on, these are the pictures that a sound frame reads and the last one of every window. `pixel_mean` and
    `pixel_std` [3] are for towers that want normalised colours in 0..1 (public ones: CLIP_MEAN, CLIP_STD); the nano
    tower reads [-1, 1].
    """

    vision: nn.Module | None = None
    motion: SoundMatch | None = None
    appearance_rate: float = float(LATENT_RATE)
    pixel_mean: tuple[float, float, float] | None = None
    pixel_std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.vision is None and self.motion is None:
            raise ConfigError("no frame encoder was given; load a vision tower, a sound match, or both")

    @classmethod
    def reading(cls, vision: nn.Module | None, motion: SoundMatch | None) -> FrameEncoders:
        """Both as they were trained: towers of PUBLIC_SIZE pixels or more in CLIP's colours, smaller ones as nano's."""
        if vision is None or int(vision.config.image_size) < PUBLIC_SIZE:  # type: ignore[union-attr, arg-type]
            return cls(vision=vision, motion=motion, appearance_rate=NANO_APPEARANCE_RATE)
        return cls(vision=vision, motion=motion, pixel_mean=CLIP_MEAN, pixel_std=CLIP_STD)

    @property
    def dim(self) -> int:
        """Width F of the features of one sound frame."""
        tower = 0 if self.vision is None else int(self.vision.config.hidden_size)  # type: ignore[union-attr, arg-type]
        return tower + (0 if self.motion is None else MOMENTS * self.motion.config.feature_dim)

    @property
    def image_size(self) -> int:
        """Pixels a side beyond which none of them sees more."""
        tower = 0 if self.vision is None else int(self.vision.config.image_size)  # type: ignore[union-attr, arg-type]
        return max(tower, 0 if self.motion is None else self.motion.config.image_size)


Window = Tensor | tuple[Tensor, Sequence[float]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Watched:
    """What the encoders saw of a clip, on the clip's own clock: a few numbers a frame."""

    encoders: FrameEncoders
    sights: Tensor | None  # [n, F] of the tower, of the pictures that it was shown
    sight_times: Tensor  # [n] seconds
    seen: Tensor | None  # [N, W] of the match
    times: Tensor  # [N] seconds at which the frames are shown

    @property
    def num_frames(self) -> int:
        """Frames N."""
        return len(self.times)

    @torch.no_grad()
    def features(self, num_latents: int) -> Tensor:
        """Features [L, F] at 25 Hz from the clip's beginning, fp32 on the CPU; ShapeError for no frames."""
        if num_latents < 1:
            raise ShapeError(f"features for {num_latents} sound frames were asked for; a clip has at least 1")
        parts = []
        if self.sights is not None:
            centres = (torch.arange(num_latents, dtype=torch.float64) + 0.5) / LATENT_RATE
            parts.append(self.sights[nearest(self.sight_times, centres)])
        if self.seen is not None and self.encoders.motion is not None:
            moments_at = (torch.arange(MOMENTS * num_latents, dtype=torch.float64) + 0.5) / MOMENT_RATE
            resampled = interpolate(self.seen, self.times, moments_at)
            parts.append(motion_features(self.encoders.motion, resampled[None])[0].float().cpu())
        return torch.cat(parts, dim=-1)


@torch.no_grad()
def watch(
    encoders: FrameEncoders, windows: Iterable[Window] | Tensor, *, fps: float | Fraction | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Watched:  # fmt: skip
    """Shows a clip to the encoders, window by window; arguments as for `frame_features`.

    ShapeError for a clip without frames, or with times that run backwards.
    """
    rate = None if fps is None else exact_fps(fps)
    sights: list[Tensor] = []
    sight_times: list[float] = []
    seen: list[Tensor] = []
    times: list[float] = []
    for window in [windows] if isinstance(windows, Tensor) else windows:
        pixels, moments = _timed(window, rate, len(times))
        if moments and (sorted(moments) != moments or (times and moments[0] < times[-1])):
            raise ShapeError("the frames' times run backwards; give them in the order in which they are shown")
        if encoders.vision is not None:
            if encoders.appearance_rate < LATENT_RATE:
                chosen = _spaced(moments, sight_times[-1:], encoders.appearance_rate)
            else:
                chosen = _read(moments, times[-1:])
            if chosen:
                sight_times += [moments[index] for index in chosen]
                sights.append(_look(encoders, pixels[:, chosen]))
        if encoders.motion is not None:
            seen.append(encoders.motion.see(pixels.transpose(0, 1)).float().cpu())
        times += moments
        if on_frames is not None:
            on_frames(len(times))
    if not times:
        raise ShapeError("the clip has no frames to hear; give at least one")
    return Watched(
        encoders=encoders,
        sights=torch.cat(sights) if sights else None,
        sight_times=torch.tensor(sight_times, dtype=torch.float64),
        seen=torch.cat(seen) if seen else None,
        times=torch.tensor(times, dtype=torch.float64),
    )


@torch.no_grad()
def frame_features(
    encoders: FrameEncoders, windows: Iterable[Window] | Tensor, num_latents: int, *,
    fps: float | Fraction | None = None, on_frames: Callable[[int], None] | None = None,
) -> Tensor:  # fmt: skip
    """Frames of a clip -> features [L, F] at 25 Hz on its true clock, fp32 on the CPU.

    windows: pixels [3, t, H, W] in [-1, 1] in order, any size; with `fps`, frame n is shown at n / fps seconds.
    Without, each window comes with the seconds of its frames (variable frame rate): (pixels, seconds). Memory holds
    one window and a few numbers a frame. The tower's features are those of the nearest picture that it is shown
    (assumption: the paper does not say how it resamples), the motion's are interpolated between frames and hold at both
    ends. `on_frames(frames so far)` follows every window; raising from it cancels. ShapeError for no sound frames, and
    as of `watch`.
    """
    if num_latents < 1:
        raise ShapeError(f"features for {num_latents} sound frames were asked for; a clip has at least 1")
    return watch(encoders, windows, fps=fps, on_frames=on_frames).features(num_latents)


def motion_features(motion: SoundMatch, seen: Tensor) -> Tensor:
    """What was seen at each moment [B, 2 L, W] -> features [B, L, 2 F]: both moments of a sound frame side by side."""
    place = motion.seen.weight
    return motion.moments(seen.to(place)).unflatten(1, (-1, MOMENTS)).flatten(2)


def motion_span(frames: Tensor, feature_dim: int) -> Tensor:
    """Frame features [B, L, F] -> the motion features that stand last in them, by moment: [B, 2 L, feature_dim].

    ShapeError where they are too narrow to hold any.
    """
    if frames.shape[-1] < MOMENTS * feature_dim:
        raise ShapeError(f"frame features of width {frames.shape[-1]} hold no motion; encode the frames with the match")
    return frames[..., -MOMENTS * feature_dim :].unflatten(-1, (MOMENTS, feature_dim)).flatten(1, 2)


def interpolate(values: Tensor, times: Tensor, wanted: Tensor) -> Tensor:
    """values [N, W] at rising times [N] -> values [M, W] at `wanted` [M], linear between, constant beyond the ends."""
    after = torch.searchsorted(times, wanted).clamp(max=len(times) - 1)
    before = (after - 1).clamp(min=0)
    span = (times[after] - times[before]).clamp(min=1e-9)
    share = ((wanted - times[before]) / span).clamp(0.0, 1.0).to(values.dtype)[:, None]
    return torch.lerp(values[before], values[after], share)


def nearest(times: Tensor, wanted: Tensor) -> Tensor:
    """Index [M] of the time, of rising times [N], that is nearest to each of `wanted` [M]."""
    after = torch.searchsorted(times, wanted).clamp(max=len(times) - 1)
    before = (after - 1).clamp(min=0)
    return torch.where((wanted - times[before]).abs() <= (times[after] - wanted).abs(), before, after)


def _timed(window: Window, rate: Fraction | None, before: int) -> tuple[Tensor, list[float]]:
    """Pixels [3, t, H, W] of a window and the seconds of its frames; `before` frames came earlier."""
    pixels, given = (window, None) if isinstance(window, Tensor) else window
    if pixels.ndim == 5 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 4 or pixels.shape[0] != 3:
        raise ShapeError(f"pixels of shape {tuple(pixels.shape)} were given; windows need [3, frames, height, width]")
    if given is not None:
        if len(given) != pixels.shape[1]:
            raise ShapeError(f"{len(given)} times were given for {pixels.shape[1]} frames; give one each")
        return pixels, [float(second) for second in given]
    if rate is None:
        raise ConfigError("the frames carry no times; give fps, or windows of (pixels, seconds)")
    return pixels, [float((before + index) / rate) for index in range(pixels.shape[1])]


def _spaced(moments: Sequence[float], before: Sequence[float], rate: float) -> list[int]:
    """Which of the frames at `moments` follow the chosen one before them, or that at `before`, by 1 / `rate` s."""
    chosen, shown = [], list(before)
    for index, moment in enumerate(moments):
        # Half a millisecond of mercy, for time stamps that were rounded.
        if not shown or moment - shown[-1] >= 1.0 / rate - 5e-4:
            chosen.append(index)
            shown.append(moment)
    return chosen


def _read(moments: Sequence[float], before: Sequence[float]) -> list[int]:
    """Which of the frames at `moments`, after one at `before`, are nearest to the middle of a sound frame.

    The last one may be, as far as is known before the next.
    """
    if not moments:
        return []
    halfway = [(earlier + later) / 2 for earlier, later in pairwise([*before, *moments])]
    # Sound frames whose middles lie up to there: a tie goes to the earlier frame.
    reached = [math.floor(second * LATENT_RATE + 0.5 + 1e-6) for second in halfway]
    limits = [*([] if before else [0]), *reached, math.inf]
    return [index for index, (low, high) in enumerate(pairwise(limits)) if low < high]


def _look(encoders: FrameEncoders, pixels: Tensor) -> Tensor:
    """Pixels [3, t, H, W] -> pooled features of the vision tower [t, F]."""
    tower: Any = encoders.vision
    place = next(tower.parameters())
    pictures = squares(pixels.transpose(0, 1), int(tower.config.image_size), "bicubic").to(place)
    if encoders.pixel_mean is not None and encoders.pixel_std is not None:
        mean, std = (torch.tensor(row).to(place)[:, None, None] for row in (encoders.pixel_mean, encoders.pixel_std))
        pictures = ((pictures + 1.0) / 2.0 - mean) / std
    return tower(pixel_values=pictures).pooler_output.float().cpu()


def _quoted(text: str) -> str:
    """One line that cannot end the quotation it stands in."""
    return " ".join(text.replace('"', "'").split())
