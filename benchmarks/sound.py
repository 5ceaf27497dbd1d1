"""Minutes of sound by the nano networks: time against the sound's own length, and memory against its growth.

    python benchmarks/sound.py [--seconds 20 180] [--steps 64] [--threads 2] [--methods extend] [--model nano]
                                [--no-alone]

First the transformer alone, with random weights: neither time nor memory depends on them. Then, where trained weights
are there, everything from a film file to its finished sound, with the loudness at the joins of the windows against the
loudness elsewhere (excess in standard errors; beyond 2 a seam would show). "processor" is the time that all threads
spent together, which other work on the machine does not lengthen. Each figure comes from a process of its own,
so that the peak memory is that of one sound. Speed of the codec alone: benchmarks/codec.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WINDOW_SECONDS, CONTEXT_SECONDS, CAPTION_TOKENS = 8.0, 2.0, 170
FPS, SIZE, RENDERED = 16, 64, 64  # of the film that is heard; frames that are drawn at a time
COLUMNS = (
    "method", "film", "watching", "all", "of its length", "processor", "memory", "samples off", "jump at joins",
    "elsewhere", "excess",
)  # fmt: skip
PROMPT, MUSIC = "A rubber ball bouncing on grass in a light breeze with birds chirping.", "Calm music with slow chords."


def sample(seconds: float, steps: int, threads: int, method: str) -> dict[str, Any]:
    """Seconds of sampling with guidance, and peak memory in MB beyond that of the loaded model."""
    import torch

    from moviegen_core.conditioning.sound import LATENT_RATE, SoundConditioning
    from moviegen_core.memory import growth
    from moviegen_core.models import catalog
    from moviegen_core.models.audio_dit.model import AudioDiT
    from moviegen_core.pipelines.sound import long_sound

    torch.set_num_threads(threads)
    model = catalog.build("audio_dit", "nano", device="cpu").eval()
    assert isinstance(model, AudioDiT)
    length = round(seconds * LATENT_RATE)
    conditioning = SoundConditioning(
        text=torch.randn(1, CAPTION_TOKENS, model.config.text_dim),
        frames=torch.randn(1, length, model.config.frame_dim),
    )
    with growth() as grown:
        began = time.perf_counter()
        long_sound(
            model, conditioning, length, method=method, steps=steps, window_seconds=WINDOW_SECONDS,
            context_seconds=CONTEXT_SECONDS,
        )  # fmt: skip
        return {"seconds": time.perf_counter() - began, "grown": grown() / 2**20}


def hear(film: Path, steps: int, threads: int, method: str, model: str) -> dict[str, Any]:
    """The same from a film file to its finished sound, with the seconds of watching and what is heard at joins."""
    import torch

    from moviegen_core.evaluate.seams import seam_report
    from moviegen_core.media.timeline import timeline
    from moviegen_core.memory import growth
    from moviegen_core.pipelines.sound import joins
    from moviegen_core.pipelines.soundtrack import SoundPipeline
    from moviegen_core.shapes import sound_latent_frames

    torch.set_num_threads(threads)
    pipeline = SoundPipeline.from_pretrained(model, device="cpu", dtype="float32")
    seen: list[float] = []
    with growth() as told:
        began, worked = time.perf_counter(), time.process_time()
        made = pipeline(
            PROMPT, music=MUSIC, video=film, steps=steps, method=method,
            on_frames=lambda _: seen.append(time.perf_counter() - began),
        )  # fmt: skip
        taken, worked = time.perf_counter() - began, time.process_time() - worked
        grown = told() / 2**20
    samples = made.waveform.shape[1]
    windows = (made.facts["window_seconds"], made.facts["context_seconds"])
    report = seam_report(made.waveform, joins(sound_latent_frames(samples), *windows))
    wanted = timeline(film).samples(made.sample_rate)
    figures = {"watching": seen[-1], "seconds": taken, "processor": worked, "grown": grown, "off": samples - wanted}
    return {**figures, "seams": report}


def write_film(path: Path, seconds: float) -> None:
    """A bouncing thing on a meadow, for so long."""
    import torch

    from moviegen_core import toybox
    from moviegen_core.media.frames import from_uint8
    from moviegen_core.media.movie import write_movie

    scene = toybox.sample_scene(7, split="test", motion="bounce", place="meadow", duration_seconds=seconds)
    total = round(seconds * FPS)
    starts = range(0, total, RENDERED)
    windows = (
        from_uint8(
            torch.from_numpy(
                toybox.render(
                    scene, num_frames=min(RENDERED, total - start), fps=FPS, height=SIZE, width=SIZE,
                    start_seconds=start / FPS,
                ).copy()
            )
        )
        for start in starts
    )  # fmt: skip
    write_movie(windows, path, FPS)


def in_a_process(*options: object) -> dict[str, Any]:
    """What this file finds out in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--one", *map(str, options)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def print_sampling(arguments: argparse.Namespace, common: Sequence[object]) -> None:
    """The table of the transformer alone."""
    print("| method | sound | sampling | of the sound's length | memory on top of the model |\n|---|---|---|---|---|")
    for method in arguments.methods:
        for seconds in arguments.seconds:
            found = in_a_process("--seconds", seconds, *common, method)
            share = found["seconds"] / seconds
            print(f"| {method} | {seconds:g} s | {found['seconds']:.1f} s | {share:.2f} | {found['grown']:.0f} MB |")


def print_hearing(arguments: argparse.Namespace, common: Sequence[object]) -> None:
    """The table of films and their finished sounds."""
    print(f"\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        for seconds in arguments.seconds:
            write_film(film, seconds)
            for method in arguments.methods:
                found = in_a_process("--film", film, *common, method)
                seams = found["seams"]
                heard = "| | |"
                if seams["joins"]:
                    there, elsewhere = seams["jump at joins (dB)"], seams["jump elsewhere (dB)"]
                    heard = f"| {there:.2f} dB | {elsewhere:.2f} dB | {seams['excess']:+.1f}"
                print(
                    f"| {method} | {seconds:g} s | {found['watching']:.1f} s | {found['seconds']:.1f} s | "
                    f"{found['seconds'] / seconds:.2f} | {found['processor']:.1f} s | {found['grown']:.0f} MB | "
                    f"{found['off']} {heard} |"
                )


def main() -> None:
    """Print the tables; with --one a single figure as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[20, 180])
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=["extend", "multidiffusion"])
    parser.add_argument("--model", default="nano", help="whose sounds are heard: a shipped name or a folder")
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True, help="first the transformer")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--film", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    method = arguments.methods[0]
    if arguments.one and arguments.film is not None:
        print(json.dumps(hear(arguments.film, arguments.steps, arguments.threads, method, arguments.model)))
        return
    if arguments.one:
        print(json.dumps(sample(arguments.seconds[0], arguments.steps, arguments.threads, method)))
        return
    print(f"{arguments.steps} midpoint steps with guidance, {arguments.threads} threads\n")
    common = ("--steps", arguments.steps, "--threads", arguments.threads, "--model", arguments.model, "--methods")
    if arguments.alone:
        print_sampling(arguments, common)
    from moviegen_core.pipelines.sound_parts import has_sound

    if not has_sound(arguments.model):
        print(f"\n{arguments.model} has no weights for sound: no film was heard.")
        return
    print_hearing(arguments, common)


if __name__ == "__main__":
    main()
