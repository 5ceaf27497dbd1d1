"""Decoding by the sound codec beside diffusers' AutoencoderOobleck, at about the same number of parameters.

    python benchmarks/codec.py [--seconds 1] [--threads 2] [--repeats 5] [--dtype float32] [--no-nano] [--processor]

Both decoders are random and work in turns in one process; medians. Ours has its weight normalisation folded in, as
users run it; theirs has its parametrisation removed likewise. The width of theirs is chosen so that the parameters
match. Each gives a second of sound from its own latent: ours 25 frames at 48 kHz, theirs 21.5 at 44.1 kHz; "times" are
per second of sound. --processor counts the time of the processor, all threads together, which other work on the
machine does not lengthen.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderOobleck
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moviegen_core.models import catalog
from moviegen_core.models.audio_codec.checkpoint import folded
from moviegen_core.models.audio_codec.model import AudioCodec

OOBLECK_RATE, OOBLECK_CHANNELS, OOBLECK_LATENT = 44_100, 128, 64


def oobleck(parameters: int, dtype: torch.dtype) -> Any:
    """Decoder whose width comes nearest to so many parameters; 128 is the released one."""

    def build(width: int, device: str) -> Any:
        with torch.device(device):
            return AutoencoderOobleck(decoder_channels=width, decoder_input_channels=OOBLECK_LATENT).decoder

    # Nearly all parameters grow with the square of the width.
    full = count(build(OOBLECK_CHANNELS, "meta"))
    width = max(4, 4 * round(OOBLECK_CHANNELS / 4 * math.sqrt(parameters / full)))
    decoder = build(width, "cpu").to(dtype).eval()
    for module in decoder.modules():
        if hasattr(module, "weight_g"):
            nn.utils.remove_weight_norm(module)
    return decoder


def count(module: nn.Module) -> int:
    """Parameters, a weight in direction and length counted once."""
    return sum(value.numel() for name, value in module.named_parameters() if not name.endswith("weight_g"))


def ours(preset: str, dtype: torch.dtype) -> AudioCodec:
    """Codec with plain weights."""
    codec = catalog.build("audio_codec", preset, device="cpu", dtype=dtype).eval()
    assert isinstance(codec, AudioCodec)
    return folded(codec)


def decoder_parameters(codec: AudioCodec) -> int:
    """Parameters that decoding without a watermark uses."""
    parts: list[nn.Module] = [codec.quantizer.out_proj, codec.decoder.wm_model.encoder_block.pre[:2]]  # type: ignore[list-item, index]
    for layer in codec.decoder.model:
        parts += [layer.block[index] for index in layer.own] if hasattr(layer, "own") else [layer]  # type: ignore[index, union-attr]
    if codec.linear is not None:
        parts += [codec.linear.synthesis, codec.linear.code_out]  # type: ignore[list-item]
    return sum(count(part) for part in parts)


def interleaved(
    works: dict[str, Callable[[], Tensor]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median time of each by `clock`, run in turns after one warming call."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            began = clock()
            work()
            times[name].append(clock() - began)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--nano", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processor", action="store_true", help="time of the processor instead of the wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    works: dict[str, Callable[[], Tensor]] = {}
    seconds: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for preset in ("full", "nano") if options.nano else ("full",):
        codec = ours(preset, dtype)
        sizes[preset] = decoder_parameters(codec)
        frames = max(1, round(options.seconds * codec.config.latent_rate))
        latent = torch.randn(1, codec.config.latent_channels, frames, dtype=dtype)
        works[preset] = lambda codec=codec, latent=latent: codec.decode(latent)
        seconds[preset] = frames / codec.config.latent_rate
        theirs, name = oobleck(sizes[preset], dtype), f"Oobleck beside {preset}"
        sizes[name] = count(theirs)
        code = torch.randn(1, OOBLECK_LATENT, max(1, round(options.seconds * OOBLECK_RATE / 2048)), dtype=dtype)
        works[name] = lambda theirs=theirs, code=code: theirs(code)
        seconds[name] = code.shape[2] * 2048 / OOBLECK_RATE
    took = interleaved(works, options.repeats, time.process_time if options.processor else time.perf_counter)
    print(f"{options.dtype}, {options.threads} threads, {torch.__version__}")
    print("| decoder | million parameters | ms per second of sound | GFLOP per second | GFLOP/s | times ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        operations = counter.get_total_flops() / seconds[name]
        per_second = took[name] / seconds[name]
        own = name.rsplit(" ", 1)[-1]
        ratio = per_second / (took[own] / seconds[own])
        print(
            f"| {name} | {sizes[name] / 1e6:.1f} | {1e3 * per_second:.1f} | {operations / 1e9:.1f} | "
            f"{operations / per_second / 1e9:.0f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
