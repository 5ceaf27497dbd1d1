"""One transformer block of Movie Gen beside those of diffusers' LTX and Wan, interleaved in one run.

    python benchmarks/block.py [--threads 2] [--repeats 7] [--dtype auto]

All blocks have the same width, heads, text tokens and, within 3 %, the same number of feed-forward weights. Ours gets
its text keys/values and modulation ready-made, as it does while sampling. The ceiling is what the block's matrix
products and attention take alone ("alone"), at the rates measured in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from moviegen_core import devices
from moviegen_core.layers.block import TransformerBlock
from moviegen_core.models.video_dit.presets import PRESETS
from moviegen_core.ops import attention

TEXT_TOKENS = 512


@dataclass(frozen=True)
class Width:
    """Sizes of one row of the table."""

    name: str
    dim: int
    num_heads: int
    mlp_dim: int
    qk_norm: bool


NANO = PRESETS["nano"]
WIDTHS = (
    Width("nano", NANO.dim, NANO.num_heads, NANO.mlp_dim, NANO.qk_norm),
    Width("1536", 1536, 12, 4096, False),
)
TOKENS = (1024, 4096)


def ours(width: Width, x: Tensor, text: Tensor) -> Callable[[], Tensor]:
    """Movie Gen's block with a prepared context."""
    block = TransformerBlock(width.dim, width.num_heads, width.mlp_dim, qk_norm=width.qk_norm).to(x)
    keys, values = block.cross_attention.keys_values(text)
    modulation = torch.randn(1, 6, width.dim).to(x)
    attend = attention.resolve("auto", x.device, x.dtype)
    positions = torch.randn(1, x.shape[1], width.dim).to(x)
    return lambda: block(x + positions, modulation, keys, values, None, attend)


def ltx(width: Width, x: Tensor, text: Tensor) -> Callable[[], Tensor]:
    """LTXVideoTransformerBlock of diffusers."""
    from diffusers.models.transformers.transformer_ltx import LTXVideoTransformerBlock

    block = LTXVideoTransformerBlock(width.dim, width.num_heads, width.dim // width.num_heads, width.dim).to(x)
    time_vectors = torch.randn(1, 1, 6 * width.dim).to(x)
    rotary = tuple(torch.randn(1, x.shape[1], width.dim).to(x) for _ in range(2))
    return lambda: block(x, text, time_vectors, rotary)


def wan(width: Width, x: Tensor, text: Tensor) -> Callable[[], Tensor]:
    """WanTransformerBlock of diffusers."""
    from diffusers.models.transformers.transformer_wan import WanTransformerBlock

    block = WanTransformerBlock(width.dim, 4 * width.dim, width.num_heads).to(x)
    time_vectors = torch.randn(1, 6, width.dim).to(x)
    rotary = tuple(torch.randn(1, x.shape[1], 1, width.dim // width.num_heads).to(x) for _ in range(2))
    return lambda: block(x, text, time_vectors, rotary)


def ceilings(width: Width, x: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """The block's matrix products alone, and its two attentions alone."""
    tokens, dim, heads = x.shape[1], width.dim, width.num_heads
    square, up, down = (
        torch.randn(rows, columns).to(x) for rows, columns in ((dim, dim), (width.mlp_dim, dim), (dim, width.mlp_dim))
    )
    hidden = torch.randn(1, tokens, width.mlp_dim).to(x)
    query, text = (
        torch.randn(1, length, heads, dim // heads).to(x).transpose(1, 2) for length in (tokens, TEXT_TOKENS)
    )

    def products() -> Tensor:
        for _ in range(6):
            F.linear(x, square)
        for _ in range(2):
            F.linear(x, up)
        return F.linear(hidden, down)

    def attentions() -> Tensor:
        F.scaled_dot_product_attention(query, text, text)
        return F.scaled_dot_product_attention(query, query, query)

    return products, attentions


def measure(calls: dict[str, Callable[[], Tensor]], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each call; rounds go through all of them, so that a busy machine hits all alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeats + 1):
        for name, call in calls.items():
            start = _clock(device)
            call()
            if round_number:  # the first round warms up
                spent[name].append(_clock(device) - start)
    return {name: statistics.median(times) for name, times in spent.items()}


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Print a markdown table of milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    place = devices.choose(arguments.device, arguments.dtype)
    print(f"{place}; {arguments.threads} threads; torch {torch.__version__}; {TEXT_TOKENS} text tokens; ms, medians\n")
    print("| block | tokens | ours | LTX | Wan | alone | ours / LTX | ours / Wan | share of ceiling |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with torch.inference_mode():
        for width in WIDTHS:
            for tokens in TOKENS:
                x = torch.randn(1, tokens, width.dim, device=place.device, dtype=place.dtype)
                text = torch.randn(1, TEXT_TOKENS, width.dim, device=place.device, dtype=place.dtype)
                products, attentions = ceilings(width, x)
                calls = {
                    "ours": ours(width, x, text),
                    "ltx": ltx(width, x, text),
                    "wan": wan(width, x, text),
                    "products": products,
                    "attentions": attentions,
                }
                seconds = measure(calls, arguments.repeats, place.device)
                alone = seconds["products"] + seconds["attentions"]
                cells = [seconds["ours"], seconds["ltx"], seconds["wan"], alone]
                ratios = [seconds["ours"] / seconds["ltx"], seconds["ours"] / seconds["wan"]]
                print(
                    f"| {width.name} | {tokens} | "
                    + " | ".join(f"{cell * 1000:.1f}" for cell in cells)
                    + " | "
                    + " | ".join(f"{ratio:.2f}" for ratio in ratios)
                    + f" | {alone / seconds['ours']:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
