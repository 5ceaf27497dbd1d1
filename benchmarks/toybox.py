"""Time to sample, draw and sound toybox clips on one thread.

    python benchmarks/toybox.py [--scenes 40] [--frames 32] [--sizes 64 128]

Reports processor time, so that a busy machine does not count: milliseconds a frame of whole clips (layers and sprites
included), milliseconds for a clip of a single frame, as a text-to-image training would ask for, and how many seconds
of stereo sound at 48 kHz a second of processor time gives.
"""

from __future__ import annotations

import argparse
import statistics
import time

from moviegen_core import toybox

SOUND_SECONDS = 8.0


def clip_ms(scene: toybox.Scene, frames: int, size: int) -> float:
    """Processor milliseconds to draw one clip."""
    start = time.process_time()
    toybox.render(scene, num_frames=frames, fps=16, height=size, width=size)
    return 1e3 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    options = parser.parse_args()
    start = time.process_time()
    scenes = [toybox.sample_scene(seed) for seed in range(options.scenes)]
    print(f"sampling: {1e3 * (time.process_time() - start) / options.scenes:.2f} ms a scene")
    for size in options.sizes:
        times = [clip_ms(scene, options.frames, size) / options.frames for scene in scenes]
        single = [clip_ms(scene, 1, size) for scene in scenes]
        print(
            f"{size} x {size}: {statistics.mean(times):.2f} ms a frame of {options.frames} "
            f"(median {statistics.median(times):.2f}, slowest {max(times):.2f}); "
            f"a single frame {statistics.mean(single):.1f} ms"
        )

    start = time.process_time()
    for scene in scenes:
        toybox.sound(scene, seconds=SOUND_SECONDS)
    spent = time.process_time() - start
    print(f"sound: {options.scenes * SOUND_SECONDS / spent:.0f} times real time, {SOUND_SECONDS:g} s a scene")


if __name__ == "__main__":
    main()
