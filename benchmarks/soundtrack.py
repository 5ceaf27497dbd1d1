"""Sound for films of any origin, without a model: time and memory against length.

    python benchmarks/soundtrack.py [--minutes 3 30] [--threads 1]

A film of each length (320 x 180 pixels at 24 a second, with stereo sound) gets another sound as a file, is mixed with
it, and loses its own; a stereo sound of that length is brought to -16 LUFS. Every measurement runs in a process of its
own; memory is its peak on top of what it held before: the package, and for loudness the given sound itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from moviegen_core.media import loudness, mux
from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import write_sound
from moviegen_core.memory import growth

FPS, RATE = 24, 48000


def pictures(seconds: float) -> Iterator[Tensor]:
    """Windows of a grey that changes slowly, with some detail."""
    detail = 0.2 * torch.rand(3, 1, 180, 320, generator=torch.Generator().manual_seed(0))
    for start in range(0, round(seconds * FPS), FPS):
        level = torch.arange(start, start + FPS).div(97).sin().mul(0.5).view(1, -1, 1, 1)
        yield detail + level


def sound_of(seconds: float) -> Tensor:
    """Stereo noise [2, S] at -12 dBFS."""
    return torch.rand(2, round(seconds * RATE), generator=torch.Generator().manual_seed(1)).mul_(0.5).sub_(0.25)


def task(name: str, folder: Path) -> Callable[[], object]:
    """The work of one row."""
    film, sound = folder / "film.mp4", folder / "sound.flac"
    if name == "loudness":
        waveform = sound_of(float((folder / "seconds").read_text()))
        return lambda: loudness.normalise(waveform, RATE, target_lufs=-16.0)
    return lambda: mux.set_audio(film, None if name == "remove" else sound, folder / f"{name}.mp4", mode=name)


def measure(name: str, folder: Path, threads: int, results: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    """(wall seconds, processor seconds, MB grown) of one row, in this process."""
    torch.set_num_threads(threads)
    work = task(name, folder)
    with growth() as grown:
        start, spent = time.perf_counter(), time.process_time()
        work()
        results.put((time.perf_counter() - start, time.process_time() - spent, grown() / 2**20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3.0, 30.0])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    print("| film | work | seconds | of the processor | memory |\n|---|---|---|---|---|")
    for minutes in options.minutes:
        seconds = 60 * minutes
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_movie(pictures(seconds), folder / "film.mp4", FPS, sound_of(seconds), RATE, preset="ultrafast")
            write_sound(sound_of(seconds), RATE, folder / "sound.flac")
            (folder / "seconds").write_text(str(seconds))
            for work in ("replace", "mix", "remove", "loudness"):
                results: multiprocessing.Queue[tuple[float, float, float]] = processes.Queue()
                child = processes.Process(target=measure, args=(work, folder, options.threads, results))
                child.start()
                wall, spent, grown = results.get()
                child.join()
                print(f"| {minutes:g} min | {work} | {wall:.1f} | {spent:.1f} | +{grown:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
