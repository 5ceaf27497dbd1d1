"""Sound of films that the video model made: nobody knows their hits, so what is seen to land says when they are.

The same is measured on films as the toybox draws them: beside the sound, the tracking of landings itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from ..pipelines.movie import MovieGenPipeline
from ..pipelines.soundtrack import SoundPipeline
from ..toybox import sample_scene, sound_captions
from .gravity import impacts
from .onsets import EDGE_SECONDS, Agreement, agreement, by_chance, onsets, true_hits
from .report import percent
from .text_to_video import generate, real_clip

SEED = 7_800_000  # far from every training seed
FPS, SIZE = 16, 128
KINDS = ("generated", "real")


def hear_films(
    movies: MovieGenPipeline, sounds: SoundPipeline, count: int, seconds: float, steps: int,
    tell: Callable[[str, int, int], None], size: int = SIZE,
) -> dict[str, Any]:  # fmt: skip
    """Onsets against the landings seen in films of bouncing things: as `movies` films them, and as they really are.

    "By chance" turns the onsets of each film round in time (`onsets.by_chance`).
    """
    clip = {"num_frames": round(seconds * FPS), "fps": FPS, "height": size, "width": size}
    seen: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    heard: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    true: list[list[float]] = []
    for number in range(count):
        scene = sample_scene(
            SEED + number, split="test", duration_seconds=seconds, motion="bounce", camera="static", weather="clear"
        )
        said = sound_captions(scene, number, music=False).description
        films = (generate(movies, scene, number, clip, {"steps": steps}), real_clip(scene, clip))
        for kind, film in zip(KINDS, films, strict=True):
            seen[kind].append(landings(film[0], FPS))
            heard[kind].append(onsets(sounds(said, frames=film[0], fps=FPS, seed=number).waveform))
        true.append(true_hits(scene, seconds))
        tell("films", number + 1, count)
    return {
        "films": count,
        "median error of tracking (ms)": 1e3 * _together(seen["real"], true).median_error,
        **{kind: film_figures(seen[kind], heard[kind], seconds) for kind in KINDS},
    }


def film_figures(seen: Sequence[Sequence[float]], heard: Sequence[Sequence[float]], seconds: float) -> dict[str, float]:
    """How well the landings of films of `seconds` are heard, and by chance."""
    own = _together(seen, heard)
    chance = sum((by_chance(*film, seconds) for film in zip(seen, heard, strict=True)), Agreement(0, (), 0))
    return {
        "with landings": sum(map(bool, seen)),
        "landings": own.hits,
        "recall": own.recall,
        "recall by chance": chance.recall,
        "median error (ms)": 1e3 * own.median_error,
    }


def _together(hits: Sequence[Sequence[float]], heard: Sequence[Sequence[float]]) -> Agreement:
    return sum(map(agreement, hits, heard), Agreement(0, (), 0))


def landings(pixels: Tensor, fps: float) -> list[float]:
    """Seconds at which something is seen to land in a clip [3, T, H, W], but for those at its very ends."""
    last = pixels.shape[1] / fps - EDGE_SECONDS
    return [moment for moment in impacts(pixels, fps) if EDGE_SECONDS < moment < last]


def film_table(films: dict[str, Any]) -> list[str]:
    """What `hear_films` found, as the lines of a table."""
    lines = ["| pictures | films with landings | landings | heard | by chance | median error |", "|---" * 6 + "|"]
    for kind in KINDS:
        found = films[kind]
        lines.append(
            f"| {kind} | {found['with landings']} of {films['films']} | {found['landings']} | "
            f"{percent(found['recall'])} | {percent(found['recall by chance'])} | {found['median error (ms)']:.1f} ms |"
        )
    return lines
