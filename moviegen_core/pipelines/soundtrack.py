"""Video, words or known sound -> finished sound in one call, exactly as long as the clip.

`condition_sound`, `finish_sound` and the functions of watching.py and known_sound.py are the steps, for those who bring
their own networks.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..conditioning.sound import Encodes, FrameEncoders, SoundConditioning, Watched, Window, encode_captions
from ..devices import Placement, Residency, choose, stay
from ..errors import ConfigError, ShapeError
from ..flow.solver import OnStep
from ..media.loudness import limit
from ..media.sound import write_sound
from ..media.sound_edit import widen
from ..media.timeline import clip_samples
from ..models.audio_codec.model import AudioCodec
from ..ops.attention import Attend
from ..ops.memory import keep_large_buffers
from ..shapes import SOUND_SAMPLE_RATE, sound_latent_frames
from .known_sound import Known, check_known, encode_known, paste_known
from .sound import long_sound
from .sound_codec import decode_pieces
from .sound_parts import SoundParts, load_sound_parts
from .sound_request import SoundRequest, check_samples
from .sound_scoring import MatchScorer, check_scorer, match_scorer
from .watching import watch_frames, watch_video

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

CEILING_DB = -1.0  # dBTP; only what would be above it is lowered
WIDTH = 0.5  # of stereo made from the mono model
SILENCE = 1e-4  # largest sample of a sound of which nothing is heard


@dataclass(frozen=True, eq=False)
class Sound:
    """A finished sound."""

    waveform: Tensor = field(repr=False)  # [channels, N] float32 in [-1, 1], on the CPU
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


def condition_sound(
    words: Encodes, caption: str, features: Tensor | None = None, known: tuple[Tensor, Tensor] | None = None
) -> SoundConditioning:
    """Caption ("": nothing is said), frame features [L, F] and `encode_known`'s context -> conditions of one sound."""
    said = encode_captions(words, caption)
    if features is not None:
        said = said.with_frames(features[None])
    return said if known is None else said.with_context(*known)


def finish_sound(
    codec: AudioCodec, latent: Tensor, num_samples: int, *, channels: int = 1, known: Sequence[Known] = (),
    watermark: Any = None, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Latent [1, C, L] -> waveform [channels, num_samples] in [-1, 1] on the CPU, decoded in chunks.

    Known pieces come back sample for sample but for up to 50 ms at their joins (see `paste_known`); what is made is
    held under -1 dBTP. The transformer makes mono: two channels are its sound as middle and a side without colour or
    bass (`media.sound_edit`), so that both add up to the mono sound. watermark: as in `AudioCodec.decode`; None hides
    one wherever the codec has the branch for it, as the makers of the released weights intend, with bits drawn from
    `seed`. ConfigError for other channels, ShapeError for more than one latent.
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
        With `residency=devices.visit` networks wait in main memory and visit the device one by one.
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
        video: str | os.PathLike[str] | None = None,
        frames: Tensor | Iterable[Window] | None = None,
        fps: float | Fraction | None = None,
        seconds: float | Fraction | None = None,
        watermark: Any = None,
        on_step: OnStep | None = None,
        on_frames: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Sound:
        """Make the sound of a `video` file, of `frames` (with `fps`, or windows with their times), or of `seconds`.

        It is as long as the clip, to the sample. `prompt` says what is heard; `options` are the other fields of
        SoundRequest: music, quality, negative, known, seed, steps, guidance_scale, candidates, method, channels and
        more. `on_frames(frames so far)` follows the watching, `on_step(step, steps, estimate)` the sampling; both may
        raise to cancel.
        """
        request = self.request(prompt, **options)
        scorer = self._scorer(request.runs, video is not None or frames is not None)
        caption, against = request.captions()
        watched, samples = self._watch(video, frames, fps, seconds, on_frames)
        if samples is None:
            samples = check_samples(clip_samples(_asked(seconds), SOUND_SAMPLE_RATE))
        check_known(request.known, samples)
        if not caption and watched is None and not request.known:
            logger.warning("nothing is said, shown or known: the sound is whatever the model likes")
        if watched is None and options.get("picture_guidance"):
            logger.warning("picture guidance changes nothing where there are no pictures; give a film, or leave it out")
        length = sound_latent_frames(samples)
        parts = self.parts
        features = context = None
        if watched is not None:
            with self._placed(*self._eyes()):
                features = watched.features(length)
        if request.known:
            with self._placed(parts.codec):
                context = encode_known(parts.codec, request.known, samples)
        with self._placed(parts.words):
            conditioning = condition_sound(parts.words, caption, features, context)
            baseline = condition_sound(parts.words, against) if against else None
        judging = (parts.match, parts.codec) if scorer is not None else ()
        with self._placed(parts.model, *judging):
            latent = long_sound(
                parts.model, conditioning, length, method=request.method, beams=request.beams, seed=request.seed,
                negative=baseline, solver=request.solver, scorer=scorer, on_step=on_step, **request.settings,
            )  # fmt: skip
        with self._placed(parts.codec):
            waveform = finish_sound(
                parts.codec, latent, samples, channels=request.channels or 1, known=request.known,
                watermark=watermark, seed=request.seed,
            )  # fmt: skip
        said = prompt.strip() or request.music.strip()
        if said and not request.known and float(waveform.abs().max()) <= SILENCE:
            logger.warning("the sound is silent; where more was meant, try another seed, or more words")
        words = {"sound_prompt": prompt, "music": request.music, "negative": request.negative}
        how = {"seed": request.seed, "method": request.method, **request.settings}
        return Sound(waveform, SOUND_SAMPLE_RATE, {**words, **how})

    def request(self, prompt: str = "", **options: Any) -> SoundRequest:
        """What a call with these words and options comes to; ConfigError in one line for what cannot be."""
        names = [item.name for item in fields(SoundRequest)]
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise ConfigError(f"a sound has no option {', '.join(unknown)}; it has {', '.join(names)}")
        return SoundRequest(prompt=prompt, **options).resolved(self.parts.sampling)

    def check(self, prompt: str = "", *, sees: bool = True, **options: Any) -> None:
        """Refuse in one line, before any work, what a call could not do; `sees`: it is to have pictures.

        `options` are arguments of a call.
        """
        if sees:
            self.check_eyes()
        clip = inspect.signature(self.__call__).parameters
        request = self.request(prompt, **{name: value for name, value in options.items() if name not in clip})
        self._scorer(request.runs, sees)

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

    def _scorer(self, runs: int, sees: bool) -> MatchScorer | None:
        """What ranks so many runs; None for one; ConfigError where the match does not read what this model is shown."""
        match, eyes = self.parts.match, self.parts.eyes
        scorer = None
        if runs > 1 and match is not None and not (sees and (eyes is None or eyes.motion is None)):
            scorer = match_scorer(match, self.parts.codec, self.parts.model.config.text_dim, sees)
        check_scorer(runs, scorer)
        return scorer

    def _eyes(self) -> Iterator[nn.Module]:
        if self.parts.eyes is not None:
            yield from (part for part in (self.parts.eyes.vision, self.parts.eyes.motion) if part is not None)

    @contextmanager
    def _placed(self, *networks: Any) -> Iterator[None]:
        """All networks among the arguments, on the device for a block of work."""
        with ExitStack() as stack:
            for network in networks:
                if isinstance(network, nn.Module):
                    stack.enter_context(self.residency(network, self.placement.device))
            yield


def _asked(seconds: float | Fraction | None) -> float | Fraction:
    if seconds is None:
        raise ConfigError("neither a clip nor seconds were given, so the sound has no length; give one of them")
    return seconds
