"""Attention backends behind one signature: q, k, v [B, H, N, K] and a mask -> [B, H, N, K].

A mask is boolean, True where a query may look, broadcastable to [B, H, Nq, Nk]; a query that may look
nowhere gets zeros. No backend holds the whole Nq x Nk matrix.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BackendError

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
CHUNK_ELEMENTS = 2**24  # scores that the math backend holds at a time: 64 MB in fp32
HALVES = (torch.float16, torch.bfloat16)


def math(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Plain attention, exact in fp32, chunked over queries; the reference for the others."""
    batch, heads, queries, width = q.shape
    chunk = max(1, CHUNK_ELEMENTS // max(1, batch * heads * k.shape[2]))
    keys = (k.float() * width**-0.5).transpose(-2, -1)
    values = v.float()
    parts = []
    for start in range(0, queries, chunk):
        scores = q[:, :, start : start + chunk].float() @ keys
        if mask is not None:
            rows = mask if mask.shape[-2] == 1 else mask[..., start : start + chunk, :]
            scores = scores.masked_fill(~rows, float("-inf"))
            # A row without any key would be 0 / 0.
            weights = scores.softmax(-1).masked_fill(~rows.any(-1, keepdim=True), 0.0)
        else:
            weights = scores.softmax(-1)
        parts.append((weights @ values).to(q.dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's scaled_dot_product_attention, which picks its own kernel by device and dtype.

    Where training in half precision asks a CPU for gradients, plain products take its place.
    """
    if _slow_backwards(q, k):
        return _products(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def _slow_backwards(q: Tensor, k: Tensor) -> bool:
    """Whether the kernel's backward pass costs several plain products: under autocast on a CPU, of scores that fit."""
    if q.device.type != "cpu" or not (q.requires_grad and torch.is_autocast_enabled("cpu")):
        return False
    return q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] <= CHUNK_ELEMENTS


def _products(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention whose products and softmax autocast places, of all scores at once."""
    scores = q @ (k * q.shape[-1] ** -0.5).transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ v
    # Added, not filled in: the backward pass has nothing to do then.
    lowest = torch.finfo(scores.dtype).min
    out = (scores + torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, lowest)).softmax(-1) @ v
    sees = mask.any(-1, keepdim=True)
    return out if bool(sees.all()) else out.masked_fill(~sees, 0.0)


def xformers(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """memory_efficient_attention of the xformers package."""
    kernel = importlib.import_module("xformers.ops").memory_efficient_attention
    rows = [part.transpose(1, 2) for part in (q, k, v)]
    if mask is None:
        return kernel(*rows).transpose(1, 2)
    shape = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    # The kernel wants rows of the bias to start at multiples of 8 elements.
    padded = -(-shape[3] // 8) * 8
    bias = q.new_zeros(*mask.shape[:-1], padded)[..., : shape[3]]
    bias = bias.masked_fill_(~mask.expand(*mask.shape[:-1], shape[3]), float("-inf")).expand(shape)
    out = kernel(*rows, attn_bias=bias).transpose(1, 2)
    return out.masked_fill(~mask.any(-1, keepdim=True), 0.0)


def flash(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """flash_attn package; it knows no masks, so masked attention (short, to the words) is PyTorch's own."""
    if mask is not None:
        return sdpa(q, k, v, mask)
    package = importlib.import_module("flash_attn")
    return package.flash_attn_func(*(part.transpose(1, 2) for part in (q, k, v))).transpose(1, 2)


BACKENDS: dict[str, Attend] = {"sdpa": sdpa, "xformers": xformers, "flash": flash, "math": math}
NAMES = ("auto", *BACKENDS)


def available(device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> dict[str, str | None]:
    """Backend name -> None where it can run on this device and dtype, else the reason why not."""
    place = torch.device(device) if device is not None else torch.device("cpu")
    return dict(_available(place.type, place.index, dtype or torch.float32))


def resolve(
    attend: str | Attend = "auto", device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Attend:
    """Name or function -> function; BackendError where an explicit name cannot run here.

    "auto": flash_attn where a GPU in half precision has the package, else PyTorch's own kernels.
    """
    if callable(attend):
        return attend
    reasons = available(device, dtype)
    if attend == "auto":
        return BACKENDS["flash" if reasons["flash"] is None else "sdpa"]
    if reasons.get(attend, "it does not exist") is None:
        return BACKENDS[attend]
    usable = ", ".join(name for name, reason in reasons.items() if reason is None)
    others = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason is not None)
    known = reasons.get(attend) or "there is no such backend"
    raise BackendError(f"attention backend {attend!r} cannot run here ({known}); use auto, {usable} ({others})")


@functools.lru_cache(maxsize=32)
def _available(kind: str, index: int | None, dtype: torch.dtype) -> tuple[tuple[str, str | None], ...]:
    found: dict[str, str | None] = {"sdpa": None, "math": None}
    for name, module, attribute in (
        ("xformers", "xformers.ops", "memory_efficient_attention"),
        ("flash", "flash_attn", "flash_attn_func"),
    ):
        found[name] = _needs_gpu(kind, index, dtype, half_only=name == "flash") or _importable(module, attribute)
    return tuple((name, found[name]) for name in BACKENDS)


def _needs_gpu(kind: str, index: int | None, dtype: torch.dtype, *, half_only: bool) -> str | None:
    if kind != "cuda":
        return f"needs a CUDA device, this is {kind}"
    if half_only and dtype not in HALVES:
        return f"needs float16 or bfloat16, this is {str(dtype).removeprefix('torch.')}"
    if half_only and torch.cuda.get_device_capability(index) < (8, 0):
        return "needs an Ampere or newer GPU"
    return None


def _importable(module: str, attribute: str) -> str | None:
    try:
        loaded: Any = importlib.import_module(module)
    except Exception as error:  # a package built for another torch fails in many ways
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return f"the package cannot be imported ({line[:120]})"
    return None if hasattr(loaded, attribute) else f"{module} has no {attribute}"
