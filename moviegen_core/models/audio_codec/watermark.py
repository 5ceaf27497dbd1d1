"""Watermark branch of the released decoder: hides 16 bits in a sound.

It listens to the decoded sound, goes down to 150 vectors a second, adds the message, and returns through layers that
stand inside the decoder's blocks. All its convolutions are plain and causal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ShapeError
from .layers import Snake, causal, causal_up, conv

CHANNELS, HIDDEN, SIZE, BITS, LSTM_LAYERS = 32, 512, 128, 16, 2
NARROWER = 3  # the branch has a third of the block's channels
STRENGTH = CHANNELS / SIZE


class PlainUnit(nn.Module):
    """x + (ELU, causal convolution over 3 to half the channels, ELU, convolution over 1)."""

    def __init__(self, channels: int, *, ops: Any, **place: Any) -> None:
        super().__init__()
        half = channels // 2
        self.block = nn.Sequential(
            nn.ELU(), ops.Conv1d(channels, half, 3, **place), nn.ELU(), ops.Conv1d(half, channels, 1, **place)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        first, second = self.block[1], self.block[3]
        return x + second(F.elu(causal(first, F.elu(x))))


class Memory(nn.Module):
    """x + LSTM(x), both [B, C, N]."""

    def __init__(self, size: int, **place: Any) -> None:
        super().__init__()
        self.lstm = nn.LSTM(size, size, LSTM_LAYERS, **place)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, N] -> [B, C, N]."""
        steps = x.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


class Message(nn.Module):
    """Adds one learned vector per bit."""

    def __init__(self, *, ops: Any, **place: Any) -> None:
        super().__init__()
        self.msg_processor = ops.Embedding(2 * BITS, SIZE, **place)

    def forward(self, x: Tensor, bits: Tensor) -> Tensor:
        """x [B, C, N] and bits [B, 16] of 0 and 1 -> [B, C, N]."""
        rows = 2 * torch.arange(BITS, device=x.device) + bits
        return x + self.msg_processor(rows).sum(dim=1).to(x).unsqueeze(2)


class Listener(nn.Module):
    """The decoder's last layers (Snake, convolution to one channel, tanh) and the branch's first ones."""

    def __init__(self, channels: int, outputs: int, *, watermark: bool, norm: bool, ops: Any, **place: Any) -> None:
        super().__init__()
        last = conv(channels, outputs, 7, norm=norm, ops=ops, **place)
        self.pre = nn.Sequential(Snake(channels, **place), last)
        if watermark:
            self.pre.append(nn.Tanh())
            self.pre.append(ops.Conv1d(1, CHANNELS, 7, **place))
            self.post = nn.Sequential(Memory(HIDDEN, **place), nn.ELU(), ops.Conv1d(HIDDEN, SIZE, 7, **place))

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, C, N] -> sound (or coefficients) before any tanh."""
        return self.pre[1](self.pre[0](x))


class Writer(nn.Module):
    """The branch's way back to one channel, without the layers inside the decoder's blocks."""

    def __init__(self, *, ops: Any, **place: Any) -> None:
        super().__init__()
        self.pre = nn.Sequential(ops.Conv1d(SIZE, HIDDEN, 7, **place), Memory(HIDDEN, **place))
        self.post = nn.Sequential(nn.ELU(), ops.Conv1d(CHANNELS, 1, 7, **place))


class Head(nn.Module):
    """What follows the decoder's blocks; with `watermark` also the branch."""

    def __init__(self, channels: int, outputs: int, *, watermark: bool, norm: bool, ops: Any, **place: Any) -> None:
        super().__init__()
        self.encoder_block = Listener(channels, outputs, watermark=watermark, norm=norm, ops=ops, **place)
        if watermark:
            self.msg_processor = Message(ops=ops, **place)
            self.decoder_block = Writer(ops=ops, **place)


def branch_layers(inputs: int, outputs: int, stride: int, *, ops: Any, **place: Any) -> dict[int, nn.Module]:
    """Layers of the branch inside a decoder block of inputs -> outputs channels, by their index there."""
    wide, narrow = inputs // NARROWER, outputs // NARROWER
    return {
        2: nn.ELU(),
        3: ops.ConvTranspose1d(wide, narrow, 2 * stride, stride=stride, **place),
        6: PlainUnit(narrow, ops=ops, **place),
        7: PlainUnit(narrow, ops=ops, **place),
        10: nn.ELU(),
        11: ops.Conv1d(narrow, wide, 2 * stride, stride=stride, **place),
    }


def write(head: Any, blocks: Sequence[Any], sound: Tensor, bits: Tensor) -> Tensor:
    """Clean sound [B, 1, N] in [-1, 1] -> the same with its watermark; `blocks` in the order of the decoder."""
    x = causal(head.encoder_block.pre[3], sound)
    for block in reversed(blocks):
        x = causal(block[11], F.elu(block[7](x)))
    memory, _, last = head.encoder_block.post
    x = head.msg_processor(causal(last, F.elu(memory(x))), bits)
    first, memory = head.decoder_block.pre
    x = memory(causal(first, x))
    for block in blocks:
        x = block[6](causal_up(block[3], F.elu(x)))
    return sound + STRENGTH * causal(head.decoder_block.post[1], F.elu(x))


def message(watermark: Any, batch: int, device: torch.device, seed: int = 0) -> Tensor:
    """Bits [B, 16] from what `decode` was given: True draws them from `seed`, else 16 (or [B, 16]) zeros and ones.

    ShapeError for other bits.
    """
    if watermark is True:
        # On the CPU, whose numbers are the same on every machine.
        generator = torch.Generator("cpu").manual_seed(seed % 2**64)
        return torch.randint(0, 2, (batch, BITS), generator=generator).to(device)
    bits = torch.as_tensor(watermark, device=device).long()
    if bits.shape not in ((BITS,), (batch, BITS)) or ((bits != 0) & (bits != 1)).any():
        raise ShapeError(f"a message of shape {list(bits.shape)} was given; a watermark holds {BITS} bits, each 0 or 1")
    return bits.expand(batch, BITS)
