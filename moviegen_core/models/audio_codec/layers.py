"""Layers of the sound codec: periodic activation, weight-normalised and causal convolutions, residual units.

Shape letters: B batch, C channels, N positions in time. Attribute names follow the released checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SNAKE_EPS = 1e-9
INIT_STD = 0.02


class Snake(nn.Module):
    """x + sin²(alpha x) / alpha with one alpha per channel (Ziyin et al., 2020)."""

    def __init__(self, channels: int, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, channels, 1, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Period pi in every channel."""
        nn.init.ones_(self.alpha)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        alpha = self.alpha.to(x)
        # A fresh buffer may be changed in place where no gradient needs it: the decoder is bound by memory here.
        wave = (alpha * x).sin().square() if torch.is_grad_enabled() else (alpha * x).sin_().square_()
        return torch.addcmul(x, wave, (alpha + SNAKE_EPS).reciprocal())


class NormedConv1d(nn.Module):
    """Convolution whose weight is weight_g * weight_v / |weight_v|, the norm over all but the first axis."""

    def __init__(
        self, first: int, second: int, kernel: int, *, outputs: int, device: Any = None, dtype: Any = None,
        **geometry: int,
    ) -> None:  # fmt: skip
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.weight_g = nn.Parameter(torch.empty(first, 1, 1, **place))
        self.weight_v = nn.Parameter(torch.empty(first, second, kernel, **place))
        self.bias = nn.Parameter(torch.empty(outputs, **place))
        self.geometry = geometry

    def reset_parameters(self) -> None:
        """Small weights, no bias."""
        nn.init.trunc_normal_(self.weight_v, std=INIT_STD)
        nn.init.zeros_(self.bias)
        with torch.no_grad():
            self.weight_g.copy_(torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True))

    @property
    def weight(self) -> Tensor:
        """The weight that is applied, in the shape of a plain convolution's."""
        length = torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)
        return self.weight_v * (self.weight_g / length)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, N] -> [B, Cout, M]."""
        return F.conv1d(x, self.weight.to(x), self.bias.to(x), **self.geometry)


class NormedConvTranspose1d(NormedConv1d):
    """The same for the transposed convolution, whose first axis counts inputs."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, N] -> [B, Cout, stride * N]."""
        return F.conv_transpose1d(x, self.weight.to(x), self.bias.to(x), **self.geometry)


def conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, norm: bool, ops: Any, **place: Any
) -> nn.Module:
    """Convolution that gives N / stride positions for N, with or without weight normalisation."""
    geometry = {"stride": stride, "padding": (kernel - stride) * dilation // 2, "dilation": dilation}
    if norm:
        return NormedConv1d(outputs, inputs, kernel, outputs=outputs, **geometry, **place)
    return ops.Conv1d(inputs, outputs, kernel, **geometry, **place)


def conv_up(inputs: int, outputs: int, stride: int, *, norm: bool, ops: Any, **place: Any) -> nn.Module:
    """Transposed convolution over two strides that gives stride * N positions for N."""
    geometry = {"stride": stride, "padding": (stride + 1) // 2, "output_padding": stride % 2}
    if norm:
        return NormedConvTranspose1d(inputs, outputs, 2 * stride, outputs=outputs, **geometry, **place)
    return ops.ConvTranspose1d(inputs, outputs, 2 * stride, **geometry, **place)


class ResidualUnit(nn.Module):
    """x + (Snake, dilated convolution over 7, Snake, convolution over 1)."""

    def __init__(self, channels: int, dilation: int, *, norm: bool, ops: Any, **place: Any) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels, **place),
            conv(channels, channels, 7, dilation=dilation, norm=norm, ops=ops, **place),
            Snake(channels, **place),
            conv(channels, channels, 1, norm=norm, ops=ops, **place),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        return x + self.block(x)


def causal(layer: Any, x: Tensor) -> Tensor:
    """Plain convolution, [B, Cin, N] -> [B, Cout, ceil(N / stride)]; what it gives knows no later stride."""
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    return layer(F.pad(x, (kernel - stride, -x.shape[-1] % stride)))


def causal_up(layer: Any, x: Tensor) -> Tensor:
    """Plain transposed convolution, [B, Cin, N] -> [B, Cout, stride * N], cut at its end."""
    return layer(x)[..., : layer.stride[0] * x.shape[-1]]
