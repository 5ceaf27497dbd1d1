"""Sound on held-out scenes: hits heard on time, the right kind of sound, the mood of its music, silence, seams, length.

Real toybox sound, and real sound through the codec, stand beside every figure: they are the ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..errors import ConfigError
from ..models import loading
from ..models.sound_judge.model import SoundJudge
from ..pipelines.movie import MovieGenPipeline
from ..pipelines.parts import recommended
from ..pipelines.sound import CONTEXT_SECONDS, WINDOW_SECONDS, joins
from ..pipelines.sound_parts import find_sound_parts, load_codec
from ..pipelines.soundtrack import SoundPipeline
from ..shapes import SOUND_SAMPLE_RATE, sound_latent_frames
from ..toybox import Scene, sample_scene, sound, sound_labels
from .films import film_table, hear_films
from .onsets import Agreement, agreement, by_chance, onsets, true_hits
from .report import percent, write_report
from .rough import check_roughness
from .seams import length_table, loudest_dbfs, seam_report

SEED = 7_000_000  # far from every training seed
RATE = SOUND_SAMPLE_RATE
ATTRIBUTES = ("kind", "ambience", "mood")
QUIET_DBFS = -50.0  # below which a tenth of a second is silent
PATIENCE = 1000  # scenes looked through for the next one with a hit; of half a second, every fourth has one
LEAST_LONG = 1.0  # seconds in which seams can be told from what lies between them
HIT_MOTIONS = ("bounce", "collide", "hop", "slide", "walk")

# (scene, seconds, music as in toybox.sound, seed) -> waveform [channels, round(seconds * 48000)] in [-1, 1]
Make = Callable[[Scene, float, bool | str, int], Tensor]
OnClip = Callable[[str, int, int], None]


def evaluate(
    output: Path,
    *,
    sources: str = "real",
    model: str = "nano",
    clips: int = 200,
    seconds: float = 4.0,
    silent: int = 10,
    long_seconds: float = 60.0,
    films: int = 20,
    film_steps: int = 25,
    candidates: int | None = None,
    picture_guidance: float | None = None,
    roughness: float = 0.0,
    on_clip: OnClip | None = None,
) -> dict[str, Any]:
    """Measures the `sources` (real, codec, generated, joined by commas); writes sound.json and sound.md after each.

    clips: how many scenes with hits, and how many scenes for the judge. silent: scenes that must stay silent.
    long_seconds: length of the sound that is searched for seams, 0 for none. films: how many films of the video model
    are heard when `generated` is measured, each made in `film_steps`; their landings must be heard when they are seen.
    candidates: sounds that are generated for each clip but not for each film, of which the sound match chooses one.
    picture_guidance: of what is generated but for the films; as the model recommends unless given, 0 as one with words.
    roughness: deviation of noise on the latents of the source `codec`: what sounds is known however rough it is.
    ConfigError for unknown sources and settings out of range.
    """
    if clips < 1:
        raise ConfigError(f"{clips} clips were asked for; at least 1 is needed")
    if long_seconds and not LEAST_LONG <= long_seconds < math.inf:
        raise ConfigError(f"long_seconds is {long_seconds:g}; give {LEAST_LONG:g} or more, or 0 for none")
    check_roughness(roughness)
    judge = load_sound_judge()
    # All of them before hours go into the first.
    names = list(map(str.strip, sources.split(",")))
    makers = {name: maker(name, model, candidates, picture_guidance, roughness) for name in names}
    report: dict[str, Any] = {"clips": clips, "seconds": seconds, "model": model, "sources": {}}
    asked = {"candidates": candidates, "picture_guidance": picture_guidance, "roughness": roughness or None}
    report |= {name: value for name, value in asked.items() if value is not None}
    for name, make in makers.items():

        def tell(what: str, done: int, count: int, name: str = name) -> None:
            if on_clip:
                on_clip(f"{name}: {what}", done, count)

        report["sources"][name] = measure(
            make, judge, clips=clips, seconds=seconds, silent=silent, long_seconds=long_seconds,
            meetings=long_joins(model, long_seconds), tell=tell,
        )  # fmt: skip
        write_report(output, "sound", report, as_markdown(report))
    if films and "generated" in report["sources"]:
        on_film: OnClip = on_clip or (lambda what, done, count: None)
        report["films"] = hear_films(*film_makers(model), films, seconds, film_steps, on_film)
        write_report(output, "sound", report, as_markdown(report))
    return report


def film_makers(model: str) -> tuple[MovieGenPipeline, SoundPipeline]:
    """What films and what hears the films."""
    place: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
    return MovieGenPipeline.from_pretrained(model, **place), SoundPipeline.from_pretrained(model, **place)


def long_joins(model: str, seconds: float) -> list[float]:
    """Seconds at which the windows of a long sound of `model` meet."""
    if not seconds:
        return []
    advice = recommended(find_sound_parts(model)["audio"])
    asked = {"window_seconds": WINDOW_SECONDS, "context_seconds": CONTEXT_SECONDS, **advice}
    return joins(sound_latent_frames(round(seconds * RATE)), asked["window_seconds"], asked["context_seconds"])


def load_sound_judge() -> SoundJudge:
    """The shipped sound judge, on the CPU."""
    judge = loading.load(weights.path("nano/sound_judge"), device="cpu", dtype=torch.float32, network="sound_judge")
    assert isinstance(judge, SoundJudge)
    return judge


def maker(
    name: str, model: str, candidates: int | None = None, picture_guidance: float | None = None,
    roughness: float = 0.0,
) -> Make:  # fmt: skip
    """What makes the sounds of a source by name; ConfigError for an unknown one."""
    if name == "real":
        return real_sound
    if name in ("codec", "generated"):
        from .sound_sources import generated, through_codec

        if name == "codec":
            return through_codec(load_codec(model), roughness)
        pipeline = SoundPipeline.from_pretrained(model, device="cpu", dtype="float32")
        return generated(pipeline, candidates, picture_guidance)
    raise ConfigError(f"there is no source {name!r} of sounds; use real, codec or generated, joined by commas")


def real_sound(scene: Scene, seconds: float, music: bool | str, seed: int) -> Tensor:
    """The scene as the toybox sounds, stereo; the seed changes nothing."""
    return torch.from_numpy(sound(scene, seconds=seconds, music=music))


def measure(
    make: Make, judge: SoundJudge, *, clips: int, seconds: float, silent: int, long_seconds: float,
    meetings: Sequence[float] = (), tell: OnClip = lambda what, done, count: None,
) -> dict[str, Any]:  # fmt: skip
    """All figures of one source of sounds; `meetings` are the seconds where a long sound's windows meet."""
    report = {
        "sync": sync(make, clips, seconds, tell),
        "heard": heard(make, judge, clips, seconds, tell),
        "silence": silence(make, silent, seconds, tell),
    }
    if long_seconds:
        scene = sample_scene(SEED + 900_000, split="test", place="meadow")
        report["seams"] = seam_report(make(scene, long_seconds, True, 0), meetings)
    still = sample_scene(SEED + 900_001, split="test", place="room")

    def length(num_frames: int, fps: Fraction) -> int:
        return make(still, float(num_frames / fps), False, 0).shape[-1]

    report["length"] = length_table(length, (0.5, 1.0, seconds))
    return report


def scenes_with_hits(count: int, seconds: float) -> Iterator[Scene]:
    """Scenes of held-out seeds and, every other one, of held-out combinations, in which something is struck.

    ConfigError for a length in which none is found.
    """
    found = number = last = 0
    while found < count:
        if number - last == PATIENCE:
            raise ConfigError(f"none of {PATIENCE} scenes has a hit that can be told within {seconds:g} s; give more")
        motion = HIT_MOTIONS[number % len(HIT_MOTIONS)]
        split = "heldout" if number % 2 and motion != "walk" else "test"
        scene = sample_scene(SEED + number, split=split, duration_seconds=seconds, motion=motion)
        number += 1
        if sound_labels(scene).kind != "silence" and true_hits(scene, seconds):
            found, last = found + 1, number
            yield scene


def sync(make: Make, clips: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """Onsets against the scene's hits, without music.

    "By chance" turns the onsets of each clip round in time (`onsets.by_chance`).
    """
    hits, found = [], []
    for number, scene in enumerate(scenes_with_hits(clips, seconds)):
        hits.append(true_hits(scene, seconds))
        found.append(onsets(make(scene, seconds, False, number)))
        tell("sync", number + 1, clips)
    total = sum(map(agreement, hits, found), Agreement(0, (), 0))
    chance = sum((by_chance(*clip, seconds) for clip in zip(hits, found, strict=True)), Agreement(0, (), 0))
    return {
        "clips": clips,
        "hits": total.hits,
        "recall": total.recall,
        "median error (ms)": 1e3 * total.median_error,
        "onsets per hit": total.onsets / total.hits,
        "recall by chance": chance.recall,
    }


def heard(make: Make, judge: SoundJudge, clips: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """Share of clips whose sound the judge names rightly, per attribute; mood also among the clips with music."""
    right: dict[str, list[bool]] = {name: [] for name in (*ATTRIBUTES, "mood of music")}
    mistakes: dict[str, int] = {}
    for number in range(clips):
        split = ("test", "heldout")[number % 2]
        scene = sample_scene(SEED + 500_000 + number, split=split, duration_seconds=seconds)
        labels = sound_labels(scene)
        answers = judge.read(make(scene, seconds, True, number).unsqueeze(0))
        for name in ATTRIBUTES:
            truth, answer = getattr(labels, name), answers[name][0]
            right[name].append(answer == truth)
            if answer != truth:
                mistakes[f"{truth} heard as {answer}"] = mistakes.get(f"{truth} heard as {answer}", 0) + 1
        if labels.mood != "none":
            right["mood of music"].append(answers["mood"][0] == labels.mood)
        tell("heard", number + 1, clips)
    accuracy = {name: float(np.mean(hits)) if hits else float("nan") for name, hits in right.items()}
    commonest = dict(sorted(mistakes.items(), key=lambda item: -item[1])[:8])
    return {"clips": clips, "accuracy": accuracy, "commonest mistakes": commonest}


def silence(make: Make, clips: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """Loudest tenth of a second of scenes in which there is nothing to hear, in dBFS, and how many are silent."""
    levels: list[float] = []
    number = 0
    while len(levels) < clips:
        scene = sample_scene(SEED + 700_000 + number, split="test", duration_seconds=seconds, place="space")
        number += 1
        if sound_labels(scene).silent:
            levels.append(loudest_dbfs(make(scene, seconds, True, number)))
            tell("silence", len(levels), clips)
    silent = float(np.mean([level < QUIET_DBFS for level in levels])) if levels else float("nan")
    return {"clips": clips, "loudest (dBFS)": max(levels, default=float("nan")), "silent": silent}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as tables for docs/nano.md."""
    sources = report["sources"]
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("hits heard", lambda found: f"{found['sync']['recall']:.1%}"),
        ("hits heard by chance", lambda found: percent(found["sync"]["recall by chance"])),
        ("median onset error", lambda found: f"{found['sync']['median error (ms)']:.1f} ms"),
        *(
            (f"{name} named rightly", lambda found, name=name: f"{found['heard']['accuracy'][name]:.1%}")
            for name in (*ATTRIBUTES, "mood of music")
        ),
        ("loudest of silent clips", lambda found: f"{found['silence']['loudest (dBFS)']:.0f} dBFS"),
        ("of them silent", lambda found: f"{found['silence']['silent']:.1%}"),
        ("wrong lengths", lambda found: str(sum(bool(n) for row in found["length"].values() for n in row.values()))),
    ]
    if all("seams" in found for found in sources.values()):
        rows += [
            ("jump at joins", lambda found: f"{found['seams'].get('jump at joins (dB)', float('nan')):.2f} dB"),
            ("jump elsewhere", lambda found: f"{found['seams'].get('jump elsewhere (dB)', float('nan')):.2f} dB"),
        ]
    lines = ["| | " + " | ".join(sources) + " |", "|---|" + "---|" * len(sources)]
    for name, cell in rows:
        lines.append(f"| {name} | " + " | ".join(cell(found) for found in sources.values()) + " |")
    if "films" in report:
        lines += ["", *film_table(report["films"])]
    return "\n".join([*lines, ""])
