"""Minutes of sound by the nano sound transformer: time against the sound's own length, and memory against its growth.

    python benchmarks/sound.py [--seconds 20 180] [--steps 64] [--threads 2] [--methods extend multidiffusion]

Weights are random: neither time nor memory depends on them. Each figure comes from a process of its own, so that the
peak memory is that of one sound. The codec is not part of it (see benchmarks/codec.py).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

WINDOW_SECONDS, CONTEXT_SECONDS, CAPTION_TOKENS = 8.0, 2.0, 170


def measure(seconds: float, steps: int, threads: int, method: str) -> dict[str, float]:
    """Seconds of sampling with guidance, and peak memory in MB beyond that of the loaded model."""
    import torch

    from moviegen_core.conditioning.sound import LATENT_RATE, SoundConditioning
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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    long_sound(
        model, conditioning, length, method=method, steps=steps, window_seconds=WINDOW_SECONDS,
        context_seconds=CONTEXT_SECONDS,
    )  # fmt: skip
    taken = time.perf_counter() - began
    return {"seconds": taken, "grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def main() -> None:
    """Print the table; with --one a single figure as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[20, 180])
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=["extend", "multidiffusion"])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.seconds[0], arguments.steps, arguments.threads, arguments.methods[0])))
        return
    print(f"{arguments.steps} midpoint steps with guidance, {arguments.threads} threads\n")
    print("| method | sound | sampling | of the sound's length | memory on top of the model |\n|---|---|---|---|---|")
    for method in arguments.methods:
        for seconds in arguments.seconds:
            command = [sys.executable, __file__, "--one", "--seconds", str(seconds), "--steps", str(arguments.steps)]
            command += ["--threads", str(arguments.threads), "--methods", method]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            share = found["seconds"] / seconds
            print(f"| {method} | {seconds:g} s | {found['seconds']:.1f} s | {share:.2f} | {found['grown']:.0f} MB |")


if __name__ == "__main__":
    main()
