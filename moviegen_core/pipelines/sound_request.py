"""What can be asked of a sound: words, sampling, windows, length; each thing that cannot be is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..conditioning.sound import sound_caption
from ..errors import ConfigError, MediaError
from ..flow.solver import Solver, check_solver
from ..shapes import SOUND_SAMPLE_RATE, check_whole
from .known_sound import Known
from .sample import check_guidance, check_seed, check_steps, check_temperature
from .sound import CONTEXT_SECONDS, GUIDANCE_SCALE, STEPS, WINDOW_SECONDS, check_method, window_frames

LONGEST_SECONDS = 1800.0  # of one sound: beyond, the finished waveform alone fills the memory of small machines
MAX_CANDIDATES = 64  # beyond, nobody would wait for them
MUSIC_LIKELIHOOD = 0.95  # said where music is described (assumption; the paper's example says 0.90)
# What neither the caller nor the model's file says: the paper's, but 1 candidate in place of its 8.
USUAL: Mapping[str, Any] = {
    "steps": STEPS,
    "guidance_scale": GUIDANCE_SCALE,
    "picture_guidance": 0.0,
    "temperature": 1.0,
    "candidates": 1,
    "window_seconds": WINDOW_SECONDS,
    "context_seconds": CONTEXT_SECONDS,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundRequest:
    """All that is asked of a sound but its clip; None: what the model's file recommends, else `USUAL`."""

    prompt: str = ""  # what is heard: effects and surroundings
    music: str = ""  # which music is wanted; with neither, the pictures alone decide
    music_likelihood: float | None = None  # 0 to 1; None: MUSIC_LIKELIHOOD with music, else 0
    quality: float | None = None  # 1 to 10; None: the paper's 7, with music 8
    negative: str = ""  # what guidance leads away from
    known: Sequence[Known] = ()  # sound that stays: the rest goes on from it, leads up to it or fills its gaps
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    picture_guidance: float | None = None  # above guidance_scale hits keep closer to the pictures; 0: both as one
    solver: Solver = "midpoint"
    temperature: float | None = None  # of the noise
    candidates: int | None = None  # the one that the sound match likes best is kept, window by window
    beams: int = 1  # and so over whole beginnings
    method: str = "extend"  # of what is longer than a window (see `long_sound`)
    window_seconds: float | None = None
    context_seconds: float | None = None
    channels: int | None = None  # 1 or 2; None: as many as known sound has, else the one that the model makes

    def resolved(self, recommended: Mapping[str, Any]) -> SoundRequest:
        """The request with everything said, and found possible; ConfigError for the first thing that is not."""
        if not all(isinstance(piece, Known) for piece in self.known):
            raise ConfigError("known is no list of pieces of sound; make them with known_sound(waveform, sample_rate)")
        usual = {**USUAL, **{name: value for name, value in recommended.items() if name in USUAL}}
        usual["channels"] = max((piece.waveform.shape[0] for piece in self.known), default=1)
        whole = replace(self, **{name: value for name, value in usual.items() if getattr(self, name) is None})
        whole._check()
        # Numbers of NumPy, which the sound's facts could not be written with, become Python's own.
        plain: dict[str, Any] = {name: float(value) for name, value in whole.settings.items()}
        plain |= {name: int(getattr(whole, name)) for name in ("seed", "steps", "candidates")}
        return replace(whole, **plain)

    def _check(self) -> None:
        """ConfigError for the first setting that cannot work."""
        settings = self.settings
        check_temperature(settings["temperature"])
        check_seed(self.seed)
        check_steps(settings["steps"], STEPS)
        check_guidance(settings["guidance_scale"], GUIDANCE_SCALE)
        check_guidance(settings["picture_guidance"], GUIDANCE_SCALE, "picture_guidance")
        check_whole(candidates=settings["candidates"], beams=self.beams, channels=self.channels)
        if self.channels not in (1, 2):
            raise ConfigError(f"a sound of {self.channels} channels was asked for; choose 1 (mono) or 2 (stereo)")
        check_solver(self.solver)
        if not all(1 <= count <= MAX_CANDIDATES for count in (settings["candidates"], self.beams)):
            raise ConfigError(
                f"{settings['candidates']} candidates and {self.beams} beams were asked for; use 1 to {MAX_CANDIDATES}"
            )
        window_frames(settings["window_seconds"], settings["context_seconds"])
        check_method(self.method, self.runs)
        self.captions()

    @property
    def settings(self) -> dict[str, Any]:
        """Those arguments of `long_sound` that a model's file may recommend."""
        return {name: getattr(self, name) for name in USUAL}

    @property
    def runs(self) -> int:
        """How many sounds are made of every window."""
        return max(int(self.candidates or 1), self.beams)

    def captions(self) -> tuple[str, str]:
        """What is said, and what guidance leads away from; "" for nothing."""
        said = request_caption(self.prompt, self.music, quality=self.quality, music_likelihood=self.music_likelihood)
        return said, request_caption(self.negative, quality=self.quality) if self.negative.strip() else ""


def request_caption(
    prompt: str = "", music: str = "", *, quality: float | None = None, music_likelihood: float | None = None
) -> str:
    """What a user asks for in the paper's caption template; "" where nothing is said at all.

    prompt: effects and surroundings. music: the kind of music wanted, "" for none. ConfigError for other types.
    """
    if not isinstance(prompt, str) or not isinstance(music, str):
        raise ConfigError("prompt and music must be one string each; call the pipeline once for each sound")
    said = bool(prompt.strip() or music.strip())
    if not said and quality is None and music_likelihood is None:
        return ""
    if music_likelihood is None:
        music_likelihood = MUSIC_LIKELIHOOD if music.strip() else 0.0
    return sound_caption(prompt, quality=quality, music=music_likelihood, music_description=music)


def check_samples(num_samples: int) -> int:
    """`num_samples` at 48 kHz; MediaError for more than one sound may have."""
    if num_samples > LONGEST_SECONDS * SOUND_SAMPLE_RATE:
        raise MediaError(
            f"a sound of {num_samples / SOUND_SAMPLE_RATE:.0f} s was asked for; one has at most {LONGEST_SECONDS:g} s: "
            "cut the film and make the sound of its parts"
        )
    return num_samples
