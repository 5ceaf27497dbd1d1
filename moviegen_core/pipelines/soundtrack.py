"""Video, words or known sound -> finished sound in one call, exactly as long as the clip.

`condition_sound`, `finish_sound` and the functions of known_sound.py are the steps, for those who bring their own
networks.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..conditioning.sound import (
    Encodes,
    FrameEncoders,
    SoundConditioning,
    Watched,
    Window,
    encode_captions,
    sound_caption,
    watch,
)
from ..devices import Placement, Residency, choose, stay
from ..errors import ConfigError, MediaError, ShapeError
from ..flow.solver import SOLVERS, OnStep, Solver
from ..media.loudness import limit
from ..media.pictures import timed_windows
from ..media.sound import write_sound
from ..media.sound_edit import widen
from ..media.timeline import clip_samples, exact_fps, timeline
from ..models.audio_codec.model import AudioCodec
from ..ops.attention import Attend
from ..ops.memory import keep_large_buffers
from ..shapes import SOUND_SAMPLE_RATE, check_whole, sound_latent_frames
from .known_sound import Known, check_known, encode_known, paste_known
from .sample import check_guidance, check_temperature
from .sound import CONTEXT_SECONDS, GUIDANCE_SCALE, STEPS, WINDOW_SECONDS, check_method, long_sound, window_frames
from .sound_codec import decode_pieces
from .sound_parts import SoundParts, load_sound_parts
from .sound_scoring import MatchScorer, check_scorer, match_scorer

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 1800.0  # of one sound: beyond, the finished waveform alone fills the memory of small machines
CEILING_DB = -1.0  # dBTP; only what would be above it is lowered
MUSIC_LIKELIHOOD = 0.95  # said where music is described (assumption; the paper's example says 0.90)
WIDTH = 0.5  # of stereo made from the mono model
WATCH_FRAMES = 16  # of a tensor that are looked at together


@dataclass(frozen=True, eq=False)
class Sound:
    """A finished sound."""

    waveform: Tensor  # [channels, N] float32 in [-1, 1], on the CPU
    sample_rate: int = SOUND_SAMPLE_RATE  # Hz
    facts: Mapping[str, Any] = field(default_factory=dict)  # how it was made; written into the file

    @property
    def duration_seconds(self) -> float:
        """Length."""
        return self.waveform.shape[1] / self.sample_rate

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a .wav or .flac of 16 bit; nothing is left under `path` unless it is complete."""
        return write_sound(self.waveform, self.sample_rate, path, {"comment": {"moviegen": dict(self.facts)}})

    def picture(self, width: int = 1200, height: int = 320) -> Image:
        """Spectrogram above waveform, with seconds and hertz, for people who look rather than play."""
        from ..media.spectrogram import sound_picture

        return sound_picture(self.waveform, self.sample_rate, width, height)


def request_caption(
    prompt: str = "", music: str = "", *, quality: float | None = None, music_likelihood: float | None = None
) -> str:
    """What a user asks for in the paper's caption template; "" where nothing is said at all.

    prompt: effects and surroundings. music: the kind of music wanted, "" for none.
    """
    if not isinstance(prompt, str) or not isinstance(music, str):
        raise ConfigError("prompt and music must be one string each; call the pipeline once for each sound")
    said = bool(prompt.strip() or music.strip())
    if not said and quality is None and music_likelihood is None:
        return ""
    if music_likelihood is None:
        music_likelihood = MUSIC_LIKELIHOOD if music.strip() else 0.0
    return sound_caption(prompt, quality=quality, music=music_likelihood, music_description=music)


def condition_sound(
    words: Encodes, caption: str, features: Tensor | None = None, known: tuple[Tensor, Tensor] | None = None
) -> SoundConditioning:
    """Caption ("": nothing is said), frame features [L, F] and `encode_known`'s context -> conditions of one sound."""
    said = encode_captions(words, caption)
    if features is not None:
        said = said.with_frames(features[None])
    return said if known is None else said.with_context(*known)


def watch_video(
    eyes: FrameEncoders, path: str | os.PathLike[str], on_frames: Callable[[int], None] | None = None
) -> tuple[Watched, int]:
    """A film file of any frame rate, a varying one too -> what was seen, and its length in samples at 48 kHz."""
    film = timeline(path)
    samples = check_length(clip_samples(film.seconds, SOUND_SAMPLE_RATE))
    windows = timed_windows(path, film=film, shorter_side=2 * eyes.image_size)
    return watch(eyes, windows, on_frames=on_frames), samples


def watch_frames(
    eyes: FrameEncoders, frames: Tensor | Iterable[Window], fps: float | Fraction | None = None,
    seconds: float | Fraction | None = None, on_frames: Callable[[int], None] | None = None,
) -> tuple[Watched, int]:  # fmt: skip
    """Frames [3, T, H, W] in [-1, 1], whole or in windows -> what was seen, and their length in samples at 48 kHz.

    The length is `seconds` where they are given, else frames over `fps` (23.976 and 29.97 mean 24000/1001 and
    30000/1001). Windows may carry their own times instead, (pixels, seconds); the last frame then lasts as long as
    there is between frames on average.
    """
    rate = None if fps is None else exact_fps(fps)
    if isinstance(frames, np.ndarray):
        raise ShapeError("frames are a NumPy array; give a tensor [3, T, H, W] in [-1, 1], or windows of them")
    if isinstance(frames, Tensor):
        frames = frames.split(WATCH_FRAMES, dim=-3) if frames.ndim >= 4 else [frames]
    seen = watch(eyes, frames, fps=rate, on_frames=on_frames)
    if seconds is None and rate is not None:
        seconds = seen.num_frames / rate
    if seconds is None:
        span, gaps = float(seen.times[-1] - seen.times[0]), seen.num_frames - 1
        if not span:
            raise ShapeError("the frames' times do not say how long they last; give seconds")
        seconds = float(seen.times[-1]) + span / gaps
    return seen, check_length(clip_samples(seconds, SOUND_SAMPLE_RATE))


def check_length(num_samples: int) -> int:
    """`num_samples` at 48 kHz, refused where they are more than one sound may have."""
    if num_samples > LONGEST_SECONDS * SOUND_SAMPLE_RATE:
        raise MediaError(
            f"a sound of {num_samples / SOUND_SAMPLE_RATE:.0f} s was asked for; one has at most {LONGEST_SECONDS:g} s: "
            "cut the film and make the sound of its parts"
        )
    return num_samples


def finish_sound(
    codec: AudioCodec, latent: Tensor, num_samples: int, *, channels: int = 1, known: Sequence[Known] = (),
    watermark: Any = None, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Latent [1, C, L] -> waveform [channels, num_samples] in [-1, 1] on the CPU, decoded in chunks.

    Known pieces come back sample for sample but for up to 50 ms at their joins (see `paste_known`); what is made is
    held under -1 dBTP. The transformer makes mono: two channels are its sound as middle and a side without colour or
    bass (`media.sound_edit`), so that both add up to the mono sound. watermark: as in `AudioCodec.decode`; None hides
    one wherever the codec has the branch for it, as the makers of the released weights intend, with bits drawn from
    `seed`.
    """
    if channels not in (1, 2):
        raise ConfigError(f"a sound of {channels} channels was asked for; choose 1 (mono) or 2 (stereo)")
    if latent.shape[0] != 1:
        raise ShapeError(f"{latent.shape[0]} latents were given; finish one sound at a time")
    if watermark is None:
        watermark = bool(codec.config.watermark_rates)
    made = torch.empty(1, num_samples)
    begin = 0
    for piece in decode_pieces(codec, latent, num_samples, watermark=watermark, seed=seed):
        made[:, begin : begin + piece.shape[2]] = piece[0]
        begin += piece.shape[2]
    made = limit(made, SOUND_SAMPLE_RATE, CEILING_DB)
    if channels == 2:
        made = widen(made, SOUND_SAMPLE_RATE, WIDTH)
        if known:
            # The middle keeps its level beside what is known.
            made = made * math.sqrt(1 + WIDTH**2)
        made = limit(made, SOUND_SAMPLE_RATE, CEILING_DB)
    return paste_known(made, known).clamp_(-1.0, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Plan:
    """What a call comes to: arguments of `long_sound`, what ranks candidates, channels, and both captions."""

    settings: dict[str, Any]
    scorer: MatchScorer | None
    channels: int
    caption: str
    against: str


class SoundPipeline:
    """Everything that turns a clip, words or the beginning of a sound into sound."""

    def __init__(self, parts: SoundParts, *, placement: Placement | None = None, residency: Residency = stay) -> None:
        """`placement` is by default where the transformer lies."""
        self.parts = parts
        self.placement = choose(parts.model.device, parts.model.dtype) if placement is None else placement
        self.residency = residency

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] = "nano",
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        attend: str | Attend = "auto",
        residency: Residency = stay,
        words: Encodes | None = None,
    ) -> SoundPipeline:
        """Load "nano", or a folder with audio, audio_codec, t5 (or ul2) and, to hear videos, metaclip_vision or
        sound_match.

        Each is NAME.safetensors, NAME.safetensors.index.json or a folder NAME. `words` replaces the text encoder.
        """
        placement = choose(device, dtype)
        if placement.device.type == "cpu":
            keep_large_buffers()
        home = placement.device if residency is stay else torch.device("cpu")
        parts = load_sound_parts(source, placement, home=home, attend=attend, words=words)
        return cls(parts, placement=placement, residency=residency)

    def __call__(
        self,
        prompt: str = "",
        *,
        music: str = "",
        music_likelihood: float | None = None,
        quality: float | None = None,
        negative: str = "",
        video: str | os.PathLike[str] | None = None,
        frames: Tensor | Iterable[Window] | None = None,
        fps: float | Fraction | None = None,
        seconds: float | Fraction | None = None,
        known: Sequence[Known] = (),
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
        picture_guidance: float | None = None,
        solver: Solver = "midpoint",
        temperature: float | None = None,
        candidates: int | None = None,
        beams: int = 1,
        method: str = "extend",
        window_seconds: float | None = None,
        context_seconds: float | None = None,
        channels: int | None = None,
        watermark: Any = None,
        on_step: OnStep | None = None,
        on_frames: Callable[[int], None] | None = None,
    ) -> Sound:
        """Make the sound of a `video` file, of `frames` (with `fps`, or windows with their times), or of `seconds`.

        It is as long as the clip, to the sample. prompt says what is heard, music which music is wanted; with neither
        the pictures alone decide. `known` sound (known_sound.py) stays: the rest goes on from it, leads up to it or
        fills its gaps. What is longer than a window is made by `method` (see `long_sound`). `picture_guidance` above
        `guidance_scale` keeps hits closer to the pictures; 0 guides by words and pictures as one. `steps`, guidances,
        temperature of the noise, windows and candidates default to what the model's file recommends, else to the
        paper's, but to 1 candidate in place of the paper's 8; channels to as many as known sound has, else to the one
        that the model makes. `on_frames(frames so far)` follows the watching,
        `on_step(step, steps, estimate)` the sampling; both may raise to cancel.
        """
        sees = video is not None or frames is not None
        plan = self._plan(
            prompt, sees, music=music, music_likelihood=music_likelihood, quality=quality, negative=negative,
            known=known, seed=seed, steps=steps, guidance_scale=guidance_scale, picture_guidance=picture_guidance,
            solver=solver, temperature=temperature, candidates=candidates, beams=beams, method=method,
            window_seconds=window_seconds, context_seconds=context_seconds, channels=channels,
        )  # fmt: skip
        settings, scorer, channels = plan.settings, plan.scorer, plan.channels
        caption, against = plan.caption, plan.against
        watched, samples = self._watch(video, frames, fps, seconds, on_frames)
        if samples is None:
            samples = check_length(clip_samples(_asked(seconds), SOUND_SAMPLE_RATE))
        check_known(known, samples)
        if not caption and watched is None and not known:
            logger.warning("nothing is said, shown or known: the sound is whatever the model likes")
        length = sound_latent_frames(samples)
        parts = self.parts
        with self._placed(parts.words, *self._eyes(), parts.codec):
            features = None if watched is None else watched.features(length)
            context = encode_known(parts.codec, known, samples) if known else None
            conditioning = condition_sound(parts.words, caption, features, context)
            baseline = condition_sound(parts.words, against) if against else None
        judging = (parts.match, parts.codec) if scorer is not None else ()
        with self._placed(parts.model, *judging):
            latent = long_sound(
                parts.model, conditioning, length, method=method, beams=beams, seed=seed, negative=baseline,
                solver=solver, scorer=scorer, on_step=on_step, **settings,
            )  # fmt: skip
        with self._placed(parts.codec):
            waveform = finish_sound(
                parts.codec, latent, samples, channels=channels, known=known, watermark=watermark, seed=seed
            )  # fmt: skip
        facts = {"sound_prompt": prompt, "music": music, "negative": negative, "seed": seed, "method": method}
        return Sound(waveform, SOUND_SAMPLE_RATE, {**facts, **settings})

    def check(self, prompt: str = "", *, sees: bool = True, **options: Any) -> None:
        """Refuse in one line, before any work, what a call could not do; `sees`: it is to have pictures.

        `options` are arguments of a call.
        """
        names = inspect.signature(self.__call__).parameters
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise ConfigError(f"a sound has no option {', '.join(unknown)}; it has {', '.join(names)}")
        if sees:
            self.check_eyes()
        planned = inspect.signature(self._plan).parameters
        self._plan(prompt, sees, **{name: value for name, value in options.items() if name in planned})

    def _plan(
        self, prompt: str, sees: bool, *, music: str = "", music_likelihood: float | None = None,
        quality: float | None = None, negative: str = "", known: Sequence[Known] = (), seed: int = 0,
        steps: int | None = None, guidance_scale: float | None = None, picture_guidance: float | None = None,
        solver: Solver = "midpoint", temperature: float | None = None, candidates: int | None = None, beams: int = 1,
        method: str = "extend", window_seconds: float | None = None, context_seconds: float | None = None,
        channels: int | None = None,
    ) -> _Plan:  # fmt: skip
        """Everything of a call that can be known before its clip is looked at."""
        settings = self._settings(
            steps, guidance_scale, picture_guidance, temperature, candidates, window_seconds, context_seconds
        )
        check_temperature(settings["temperature"])
        if not all(isinstance(piece, Known) for piece in known):
            raise ConfigError("known is no list of pieces of sound; make them with known_sound(waveform, sample_rate)")
        if channels is None:
            channels = max((piece.waveform.shape[0] for piece in known), default=1)
        check_sampling(seed, settings["steps"], settings["guidance_scale"], settings["picture_guidance"], channels)
        if solver not in SOLVERS:
            raise ConfigError(f"solver {solver!r} is unknown; use one of {', '.join(SOLVERS)}")
        check_whole(candidates=settings["candidates"], beams=beams)
        if min(settings["candidates"], beams) < 1:
            raise ConfigError(f"{settings['candidates']} candidates and {beams} beams were asked for; use at least 1")
        window_frames(settings["window_seconds"], settings["context_seconds"])
        runs = max(int(settings["candidates"]), beams)
        check_method(method, runs)
        scorer = self._scorer(runs, sees)
        check_scorer(runs, scorer)
        return _Plan(
            settings=settings,
            scorer=scorer,
            channels=channels,
            caption=request_caption(prompt, music, quality=quality, music_likelihood=music_likelihood),
            against=request_caption(negative, quality=quality) if negative.strip() else "",
        )

    def _watch(
        self, video: Any, frames: Any, fps: Any, seconds: Any, on_frames: Callable[[int], None] | None
    ) -> tuple[Watched | None, int | None]:
        """What is seen of the clip, and its samples; (None, None) without one."""
        if video is None and frames is None:
            return None, None
        if video is not None and (frames is not None or seconds is not None or fps is not None):
            raise ConfigError("a video has its own pictures, fps and seconds; give the video alone")
        eyes = self.check_eyes()
        with self._placed(*self._eyes()):
            if video is not None:
                return watch_video(eyes, video, on_frames)
            return watch_frames(eyes, frames, fps, seconds, on_frames)

    def check_eyes(self) -> FrameEncoders:
        """What sees the pictures; ConfigError where sound can be made from words alone."""
        if self.parts.eyes is None:
            raise ConfigError(
                "this model has no frame encoder (metaclip_vision or sound_match), so it cannot hear a video; add one, "
                "or give prompt and seconds"
            )
        return self.parts.eyes

    def _settings(
        self, steps: int | None, guidance_scale: float | None, picture_guidance: float | None,
        temperature: float | None, candidates: int | None, window_seconds: float | None, context_seconds: float | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Arguments of `long_sound`: what was asked for, else what the model recommends, else as a rule the paper's."""
        fallback = {
            "steps": STEPS, "guidance_scale": GUIDANCE_SCALE, "picture_guidance": 0.0, "temperature": 1.0,
            "candidates": 1,
            "window_seconds": WINDOW_SECONDS, "context_seconds": CONTEXT_SECONDS,
        }  # fmt: skip
        asked = {
            "steps": steps, "guidance_scale": guidance_scale, "picture_guidance": picture_guidance,
            "temperature": temperature, "candidates": candidates,
            "window_seconds": window_seconds, "context_seconds": context_seconds,
        }  # fmt: skip
        known = {name: value for name, value in self.parts.sampling.items() if name in fallback}
        return fallback | known | {name: value for name, value in asked.items() if value is not None}

    def _scorer(self, runs: int, sees: bool) -> MatchScorer | None:
        """What ranks candidates, where there are any and the match reads what this model is shown."""
        match, eyes = self.parts.match, self.parts.eyes
        if runs < 2 or match is None or (sees and (eyes is None or eyes.motion is None)):
            return None
        return match_scorer(match, self.parts.codec, self.parts.model.config.text_dim, sees)

    def _eyes(self) -> Iterator[nn.Module]:
        if self.parts.eyes is not None:
            yield from (part for part in (self.parts.eyes.vision, self.parts.eyes.motion) if part is not None)

    def _placed(self, *networks: Any) -> ExitStack:
        """All networks among the arguments, on the device for a block of work."""
        stack = ExitStack()
        for network in networks:
            if isinstance(network, nn.Module):
                stack.enter_context(self.residency(network, self.placement.device))
        return stack


def check_sampling(seed: int, steps: int, guidance_scale: float, picture_guidance: float, channels: int) -> None:
    """ConfigError for the first setting that cannot work."""
    check_whole(seed=seed, steps=steps, channels=channels)
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed} is outside of 0 to 2^64 - 1; use a number in that range")
    if not 1 <= steps <= 1000:
        raise ConfigError(f"steps {steps} is outside of 1 to 1000; the paper uses {STEPS}")
    check_guidance(guidance_scale, GUIDANCE_SCALE)
    check_guidance(picture_guidance, GUIDANCE_SCALE, "picture_guidance")  # 0: by words and pictures as one
    if channels not in (1, 2):
        raise ConfigError(f"a sound of {channels} channels was asked for; choose 1 (mono) or 2 (stereo)")


def _asked(seconds: float | Fraction | None) -> float | Fraction:
    if seconds is None:
        raise ConfigError("neither a clip nor seconds were given, so the sound has no length; give one of them")
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"a sound of {float(seconds):g} seconds was asked for; use a number above 0")
    return seconds
