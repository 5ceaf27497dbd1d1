"""Sound of films that the video model made: nobody knows their hits, so what is seen to land says when they are.

The same is measured on films as the toybox draws them: beside the sound, the tracking of landings itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..pipelines.movie import MovieGenPipeline
from ..pipelines.soundtrack import SoundPipeline
from ..toybox import sample_scene, sound_captions
from .gravity import impacts
from .onsets import EDGE_SECONDS, Agreement, agreement, onsets, true_hits
from .text_to_video import generate, real_clip

SEED = 7_800_000  # far from every training seed
FPS, SIZE = 16, 128
KINDS = ("generated", "real")
CHANCE, TRACKING = "by chance", "tracking"


def hear_films(
    movies: MovieGenPipeline, sounds: SoundPipeline, count: int, seconds: float, steps: int,
    tell: Callable[[str, int, int], None], size: int = SIZE,
) -> dict[str, Any]:  # fmt: skip
    """Onsets against the landings seen in films of bouncing things: as `movies` films them, and as they really are."""
    clip = {"num_frames": round(seconds * FPS), "fps": FPS, "height": size, "width": size}
    nothing = Agreement(0, (), 0)
    total = {kind: dict.fromkeys((kind, CHANCE, TRACKING), nothing) for kind in KINDS}
    landed = dict.fromkeys(KINDS, 0)
    before: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(count):
        scene = sample_scene(
            SEED + number, split="test", duration_seconds=seconds, motion="bounce", camera="static", weather="clear"
        )
        said = sound_captions(scene, number, music=False).description
        films = (generate(movies, scene, number, clip, {"steps": steps}), real_clip(scene, clip))
        for kind, film in zip(KINDS, films, strict=True):
            seen = landings(film[0], FPS)
            heard = onsets(sounds(said, frames=film[0], fps=FPS, seed=number).waveform)
            landed[kind] += bool(seen)
            for name, moments in ((kind, heard), (CHANCE, before[kind]), (TRACKING, true_hits(scene, seconds))):
                total[kind][name] += agreement(seen, moments)
            before[kind] = heard
        tell("films", number + 1, count)
    return {
        "films": count,
        "median error of tracking (ms)": 1e3 * total["real"][TRACKING].median_error,
        **{kind: _figures(landed[kind], total[kind][kind], total[kind][CHANCE]) for kind in KINDS},
    }


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
            f"| {kind} | {found['with landings']} of {films['films']} | {found['landings']} | {found['recall']:.1%} | "
            f"{found['recall by chance']:.1%} | {found['median error (ms)']:.1f} ms |"
        )
    return lines


def _figures(landed: int, heard: Agreement, chance: Agreement) -> dict[str, float]:
    return {
        "with landings": landed,
        "landings": heard.hits,
        "recall": heard.recall,
        "recall by chance": chance.recall,
        "median error (ms)": 1e3 * heard.median_error,
    }
