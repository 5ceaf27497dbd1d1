"""The sound match as a judge of candidates: does it prefer a held-out clip's own sound, and at its own time?

Every figure is a share of choices between two, so that chance is a half. The other sound is that of another action, and
that of another scene of the same action, which only the times and the place can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..conditioning.sound import SoundConditioning
from ..devices import choose
from ..errors import ConfigError
from ..pipelines.sound_parts import SoundParts, load_sound_parts
from ..pipelines.sound_request import request_caption
from ..pipelines.sound_scoring import MatchScorer
from ..pipelines.soundtrack import condition_sound
from ..pipelines.watching import watch_frames
from ..shapes import SOUND_SAMPLE_RATE, sound_latent_frames
from ..toybox import Scene, sound, sound_captions
from .report import write_report
from .sound import scenes_with_hits
from .sound_sources import CLIP_FPS, pictures

SHIFTS = (0.1, 0.2, 0.5)  # seconds by which a clip's own sound comes late
RIVALS = {"another action's": False, "another scene's of the same action": True}  # and whether its action is the same
BY_PICTURES, BY_WORDS = "by the pictures", "by the words"


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    clips: int = 100,
    seconds: float = 4.0,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measures the sound match of `model` on real sounds of scenes with hits; writes match.json and match.md.

    ConfigError for fewer than 2 clips, or a model without a match.
    """
    if clips < 2:
        raise ConfigError(f"{clips} clips were asked for; at least 2 are needed, so that there is another sound")
    parts = load_sound_parts(model, choose("cpu", "float32"))
    if parts.match is None or parts.eyes is None or parts.eyes.motion is None:
        raise ConfigError(f"{model} has no sound match that its sound model reads; there is nothing to measure")
    tell = on_clip or (lambda what, done, count: None)
    report = {"model": model, "clips": clips, "seconds": seconds, **measure(parts, clips, seconds, tell)}
    write_report(output, "match", report, as_markdown(report))
    return report


@torch.inference_mode()
def measure(
    parts: SoundParts, clips: int, seconds: float, tell: Callable[[str, int, int], None]
) -> dict[str, dict[str, float]]:
    """Share of the clips whose own sound is preferred to those of others, see RIVALS, and to itself come late.

    An other is the nearest clip before, and for the first the last (`rival`).
    """
    assert parts.match is not None
    scorer = MatchScorer(match=parts.match, codec=parts.codec)
    actions, known = [], []
    for number, scene in enumerate(scenes_with_hits(clips, seconds)):
        actions.append(scene.motion.kind)
        known.append(known_clip(parts, scene, number, seconds))
        tell("sounds", number + 1, clips)
    preferred: dict[str, list[bool]] = {}
    for number, (shown, said, own) in enumerate(known):
        others = {name: rival(actions, number, same=same) for name, same in RIVALS.items()}
        sounds = {f"own sound, not {name}": known[other][2] for name, other in others.items() if other is not None}
        late = {f"own time, not {shift:g} s later": own.roll(round(shift * SOUND_SAMPLE_RATE), 1) for shift in SHIFTS}
        heard = (own, *sounds.values(), *late.values())
        latents = torch.cat([parts.codec.encode(waveform[None]) for waveform in heard])
        for how, condition, names in ((BY_PICTURES, shown, (*sounds, *late)), (BY_WORDS, said, tuple(sounds))):
            first, *rest = scorer(latents[: 1 + len(names)], condition.repeat(1 + len(names)))
            for name, score in zip(names, rest, strict=True):
                preferred.setdefault(f"{name}, {how}", []).append(bool(first > score))
        tell("match", number + 1, clips)
    return {"preferred": {name: float(np.mean(wins)) for name, wins in preferred.items()}}


def rival(actions: Sequence[str], number: int, *, same: bool) -> int | None:
    """The clip before `number`, and before the first the last, with the same action or with another; None without."""
    before = ((number - step) % len(actions) for step in range(1, len(actions)))
    return next((other for other in before if (actions[other] == actions[number]) is same), None)


def known_clip(
    parts: SoundParts, scene: Scene, number: int, seconds: float
) -> tuple[SoundConditioning, SoundConditioning, Tensor]:
    """What is shown of a scene, what is said of it, and how it sounds: mono [1, N] without music."""
    assert parts.eyes is not None
    watched, samples = watch_frames(parts.eyes, pictures(scene, seconds), CLIP_FPS, seconds)
    shown = condition_sound(parts.words, "", watched.features(sound_latent_frames(samples)))
    said = condition_sound(parts.words, request_caption(sound_captions(scene, number, music=False).description))
    return shown, said, torch.from_numpy(sound(scene, seconds=seconds, channels=1, music=False))


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    lines = ["| the sound match prefers | of choices between two |", "|---|---|"]
    lines += [f"| {name} | {share:.1%} |" for name, share in report["preferred"].items()]
    return "\n".join([*lines, ""])
