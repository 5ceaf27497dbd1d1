"""Encoding and decoding of a clip by the temporal autoencoder, beside what its convolutions could reach.

    python benchmarks/autoencoder.py [--preset nano] [--frames 256] [--size 128] [--threads 2] [--repeats 3]

The clip is decoded as users get it: windows of 32 frames that overlap by 16, so that nearly twice its frames are made.
The ceiling is a 3 x 3 convolution, channels-last, at the first and the last width, measured in the same run; the better
of the two rates counts. Weights are random; times do not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from moviegen_core import devices
from moviegen_core.models import catalog
from moviegen_core.models.tae.model import TAE
from moviegen_core.pipelines.decode import decode_video, encode_video

WINDOW = 32  # frames of the convolution that gives the ceiling


def ceiling(tae: TAE, size: int, like: Tensor) -> list[Callable[[], Tensor]]:
    """Convolutions at the first level (full rate) and the last one (an eighth of it)."""
    config = tae.config
    sizes = (
        (WINDOW, config.channels[0], size // config.stem_fold),
        (WINDOW // config.temporal_stride, config.channels[-1], size // config.spatial_stride),
    )
    made: list[Callable[[], Tensor]] = []
    for frames, width, side in sizes:
        x = torch.randn(frames, width, side, side).to(like).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(width, width, 3, 3).to(like)
        made.append(lambda x=x, weight=weight: F.conv2d(x, weight, padding=1))
    return made


def flops(work: Callable[[], object]) -> float:
    """Floating-point operations of one call; a multiplication and an addition count as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    placement = devices.choose()
    tae = catalog.build("tae", options.preset, device=placement.device, dtype=placement.dtype).eval()
    assert isinstance(tae, TAE)
    pixels = torch.rand(1, 3, options.frames, options.size, options.size).to(tae.latent_std) * 2 - 1
    latent = encode_video(tae, pixels)

    convolutions = ceiling(tae, options.size, tae.latent_std)
    for work in convolutions:
        work()
    best = max(flops(work) / seconds(work, 3 * options.repeats) for work in convolutions)
    print(
        f"{options.preset}, {options.frames} frames of {options.size} x {options.size}, {placement.dtype} on "
        f"{placement.device}, {options.threads} threads; convolution {best / 1e9:.0f} GFLOP/s"
    )
    print("| work | seconds | ms per frame | GFLOP per frame | GFLOP/s | share of the convolution |")
    print("| --- | --- | --- | --- | --- | --- |")
    rows: dict[str, Callable[[], object]] = {
        "encode": lambda: encode_video(tae, pixels),
        "decode, tiled": lambda: [piece.shape for piece in decode_video(tae, latent)],
        "decode, no overlap": lambda: [piece.shape for piece in decode_video(tae, latent, overlap_frames=0)],
    }
    for name, work in rows.items():
        operations, took = flops(work), seconds(work, options.repeats)
        rate = operations / took
        print(
            f"| {name} | {took:.2f} | {1e3 * took / options.frames:.1f} | {operations / options.frames / 1e9:.2f} | "
            f"{rate / 1e9:.0f} | {rate / best:.0%} |"
        )


if __name__ == "__main__":
    main()
