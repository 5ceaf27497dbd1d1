"""A whole film from text to mp4 with the shipped models, and what must happen before it: importing and loading.

    python benchmarks/film.py [--seconds 16] [--steps 50] [--threads 2] [--size 128]

Runs in a process of its own, so that the peak memory is the film's. The ceiling is the arithmetic of the transformer
(linear layers and attention) at the rate of a matrix product of its width, measured in the same run.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROMPT = "A blue ball bounces on the beach on a sunny day. The camera is static."
FPS = 16
MEGA = 2**20


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds of one call, and what it gave."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def import_seconds(repeats: int = 5) -> float:
    """Median seconds that `import moviegen_core` takes in a fresh interpreter."""
    code = "import time; t = time.perf_counter(); import moviegen_core; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(repeats)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def product_rate(width: int, tokens: int, dtype: object) -> float:
    """Operations a second of a matrix product tokens x width x 4 width."""
    import torch

    left, right = torch.randn(tokens, width).to(dtype), torch.randn(4 * width, width).to(dtype)  # type: ignore[call-overload]
    torch.nn.functional.linear(left, right)
    seconds = statistics.median(timed(lambda: torch.nn.functional.linear(left, right))[0] for _ in range(20))
    return 2 * tokens * width * 4 * width / seconds


def main() -> None:
    """Make the film and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    importing = import_seconds()
    import torch

    torch.set_num_threads(arguments.threads)
    torch_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from moviegen_core import MovieGenPipeline
    from moviegen_core.shapes import seconds_to_frames

    loading, pipeline = timed(MovieGenPipeline.from_pretrained)
    assert isinstance(pipeline, MovieGenPipeline)
    size = {"num_frames": seconds_to_frames(arguments.seconds, FPS), "height": arguments.size, "width": arguments.size}
    sampling, film = timed(lambda: pipeline(PROMPT, steps=arguments.steps, seed=0, fps=FPS, **size))
    with tempfile.TemporaryDirectory() as folder:
        writing, path = timed(lambda: film.save(Path(folder) / "film.mp4"))  # type: ignore[attr-defined]
        length = path.stat().st_size  # type: ignore[attr-defined]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    config = pipeline.video.config
    tokens = film.latent[0, 0].numel() // 4  # type: ignore[attr-defined]
    width, layers = config.dim, config.num_layers
    linear = 2 * tokens * (6 * width**2 + 3 * width * config.mlp_dim) * layers
    attention = 4 * tokens**2 * width * layers
    rate = product_rate(width, tokens, pipeline.placement.dtype)
    floor = 2 * arguments.steps * (linear + attention) / rate
    rows = [
        ("import moviegen_core", f"{importing:.3f} s"),
        ("load nano (after importing torch)", f"{loading:.1f} s"),
        (f"sample {size['num_frames']} frames, {arguments.steps} steps with guidance", f"{sampling:.1f} s"),
        ("decode and write mp4", f"{writing:.1f} s ({length / 1e6:.2f} MB)"),
        ("text to mp4 after loading", f"{sampling + writing:.1f} s"),
        ("arithmetic at the rate of a matrix product", f"{floor:.1f} s ({floor / sampling:.0%} of the sampling time)"),
        ("peak memory, of it torch alone", f"{peak * 1024 / MEGA:.0f} MB, {torch_memory * 1024 / MEGA:.0f} MB"),
    ]
    print(f"{pipeline.placement}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| what | figure |\n|---|---|")
    for name, figure in rows:
        print(f"| {name} | {figure} |")


if __name__ == "__main__":
    main()
