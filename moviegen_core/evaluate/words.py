"""Sound without pictures: from what captions say, from plain requests, and from known sound that goes on alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..models.sound_judge.model import SoundJudge
from ..pipelines.known_sound import known_sound
from ..pipelines.soundtrack import SoundPipeline
from ..shapes import SOUND_SAMPLE_RATE
from ..toybox import Scene, sound
from .report import write_report
from .seams import loudest_dbfs
from .sound import ATTRIBUTES, QUIET_DBFS, heard, load_sound_judge, scenes_with_hits
from .sound_sources import generated

# In other words than any caption of the toybox: what is asked for, and what the judge is to hear.
REQUESTS: tuple[tuple[str, str, str], ...] = (
    ("it rains on the roof", "ambience", "rain"),
    ("a rainy day", "ambience", "rain"),
    ("raining hard outside", "ambience", "rain"),
    ("the sea rolls onto the sand", "ambience", "waves"),
    ("a day at the beach", "ambience", "waves"),
    ("chirping insects in the dark", "ambience", "insects"),
    ("a warm summer night", "ambience", "insects"),
    ("birds sing in the wind", "ambience", "breeze"),
    ("a windy field", "ambience", "breeze"),
    ("cars in the street", "ambience", "city hum"),
    ("the town at noon", "ambience", "city hum"),
    ("a clock on the wall", "ambience", "room tone"),
    ("the inside of a house with a clock", "ambience", "room tone"),
    ("air bubbles in the water", "ambience", "bubbles"),
    ("a ball jumps up and down on stone", "kind", "bouncing"),
    ("a rubber ball falls to the ground and bounces", "kind", "bouncing"),
    ("somebody walks on grass", "kind", "steps"),
    ("a man walking along a path", "kind", "steps"),
    ("a robot rolls over stone", "kind", "rolling"),
    ("a bird beats its wings", "kind", "wings"),
    ("a rocket flies into the sky", "kind", "rocket"),
    ("a car passes", "kind", "engine"),
    ("a fish swims in the water", "kind", "splashing"),
    ("a ball hits a cube", "kind", "collision"),
    ("a cat jumps over the sand", "kind", "hopping"),
    ("a cube slides across the floor", "kind", "sliding"),
)
OnClip = Callable[[str, int, int], None]


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    clips: int = 100,
    seconds: float = 4.0,
    seeds: int = 3,
    known: int = 30,
    on_clip: OnClip | None = None,
) -> dict[str, Any]:
    """Measures the sound pipeline of `model`; writes words.json and words.md.

    clips: held-out scenes whose captions are all that is given. seeds: how often each of REQUESTS is asked. known:
    scenes whose first half is given as sound, without a word, and goes on. ConfigError for counts below 1.
    """
    if min(clips, seeds, known) < 1:
        raise ConfigError(f"{clips} clips, {seeds} seeds and {known} known sounds were asked for; at least 1 is needed")
    judge, pipeline = load_sound_judge(), SoundPipeline.from_pretrained(model, device="cpu", dtype="float32")
    tell = on_clip or (lambda what, done, count: None)
    described = heard(generated(pipeline, shown=False), judge, clips, seconds, tell)
    report = {
        "model": model,
        "described": described,
        "requests": requests(pipeline, judge, seeds, seconds, tell),
        "continued": continued(pipeline, known, seconds, tell),
    }
    write_report(output, "words", report, as_markdown(report))
    return report


def requests(pipeline: SoundPipeline, judge: SoundJudge, seeds: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """How many of REQUESTS sound at all, and as what was asked for; "silent" names those that never do."""
    audible, right, silent = [], [], []
    for number, (text, name, wanted) in enumerate(REQUESTS):
        sounds = [pipeline(text, seconds=seconds, seed=seed).waveform for seed in range(seeds)]
        loud = [loudest_dbfs(waveform) > QUIET_DBFS for waveform in sounds]
        audible += loud
        right += [judge.read(waveform.unsqueeze(0))[name][0] == wanted for waveform in sounds]
        if not any(loud):
            silent.append(text)
        tell("requests", number + 1, len(REQUESTS))
    return {
        "requests": len(REQUESTS), "seeds": seeds, "audible": float(np.mean(audible)),
        "named rightly": float(np.mean(right)), "silent": silent,
    }  # fmt: skip


def continued(pipeline: SoundPipeline, count: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """Of sounds whose first half is known: how many go on to be heard, and how much louder than they were (dB)."""
    audible, louder = [], []
    for number, scene in enumerate(scenes_with_hits(count, seconds)):
        given = _beginning(scene, seconds / 2)
        made = pipeline(seconds=seconds, known=known_sound(given, SOUND_SAMPLE_RATE), seed=number).waveform
        before, after = (loudest_dbfs(part) for part in (given, made[:, given.shape[1] :]))
        audible.append(after > QUIET_DBFS)
        louder.append(after - before)
        tell("continued", number + 1, count)
    return {"clips": count, "audible": float(np.mean(audible)), "median difference (dB)": float(np.median(louder))}


def _beginning(scene: Scene, seconds: float) -> Tensor:
    return torch.from_numpy(sound(scene, seconds=seconds, channels=1))


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    described, asked, known = report["described"], report["requests"], report["continued"]
    rows = [
        *((f"captions alone: {name} named rightly", f"{described['accuracy'][name]:.1%}") for name in ATTRIBUTES),
        (f"{asked['requests']} plain requests, {asked['seeds']} seeds: heard at all", f"{asked['audible']:.1%}"),
        ("of them named rightly", f"{asked['named rightly']:.1%}"),
        ("known sound goes on, heard at all", f"{known['audible']:.1%}"),
        ("its loudest tenth of a second against what is known", f"{known['median difference (dB)']:+.1f} dB"),
    ]
    return "\n".join(
        ["| sound without pictures | |", "|---|---|", *(f"| {name} | {cell} |" for name, cell in rows), ""]
    )
