"""Elementwise work around the matrix products, written so that each makes few passes over memory.

A pass over a large activation costs as much as the product it follows on a CPU. Without gradients the functions
reuse buffers that their caller owns; with gradients they are the plain formulas.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, without weight; a new tensor."""
    if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.rms_norm(x, x.shape[-1:], eps=eps)
    # One reduction and one elementwise pass; PyTorch's own takes several on a CPU.
    power = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().mul_(1.0 / x.shape[-1]).add_(eps)
    return x * power.rsqrt_()


def rms_modulate(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """rms_norm(x) * (1 + scale) + shift for x [B, N, D] and scale, shift [B, 1, D]."""
    normed = rms_norm(x, eps)
    if torch.is_grad_enabled():
        return torch.addcmul(shift, normed, 1.0 + scale)
    return torch.addcmul(shift, normed, 1.0 + scale, out=normed)


def group_norm(frames: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """F.group_norm of frames [N, C, H, W] in channels-last order, which the result has too; without gradients.

    PyTorch's own would copy them on a GPU, to have each channel by itself. Statistics are taken in fp32.
    """
    frames = frames.contiguous(memory_format=torch.channels_last)
    rows = frames.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (groups, -1))
    if frames.dtype in (torch.float16, torch.bfloat16):
        # No copy in fp32: the difference of squares loses no more than rounding to bfloat16 did, to float16 about half.
        mean = rows.mean((1, 3), dtype=torch.float32)
        power = torch.linalg.vector_norm(rows, dim=(1, 3), dtype=torch.float32).square()
        power = power / (rows.shape[1] * rows.shape[3])
        variance = (power - mean.square()).clamp_min(0.0)
    else:
        variance, mean = torch.var_mean(rows, (1, 3), correction=0)
    mean, scale = (part.repeat_interleave(rows.shape[3], dim=1) for part in (mean, (variance + eps).rsqrt()))
    scale = scale * weight
    shift = bias - mean * scale
    return torch.addcmul(shift[:, :, None, None], frames, scale[:, :, None, None], out=torch.empty_like(frames))


def swiglu(gate: Tensor, value: Tensor) -> Tensor:
    """silu(gate) * value; without gradients it overwrites `gate`."""
    if torch.is_grad_enabled():
        return swiglu_plain(gate, value)
    return F.silu(gate, inplace=True).mul_(value)


def swiglu_plain(gate: Tensor, value: Tensor) -> Tensor:
    """What `swiglu` must equal."""
    return F.silu(gate) * value


def gated_residual(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """x + gate * update for x, update [B, N, D] and gate [B, 1, D]; without gradients it overwrites `update`."""
    if torch.is_grad_enabled():
        return gated_residual_plain(x, update, gate)
    return torch.addcmul(x, update, gate, out=update)


def gated_residual_plain(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """What `gated_residual` must equal."""
    return torch.addcmul(x, update, gate)
