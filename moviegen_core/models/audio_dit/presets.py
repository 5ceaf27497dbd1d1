"""Sizes of the sound transformer: the paper's, and the small one trained and tested here."""

from __future__ import annotations

from .model import AudioDiTConfig

# Text of the nano T5; frames: 192 of the nano MetaCLIP tower and two moments of 48 of the nano sound match.
NANO = AudioDiTConfig(
    dim=144, num_heads=6, num_layers=6, mlp_dim=432, text_dim=192, frame_dim=288, frame_taps=1, qk_norm=True,
    head_dim=384,
)  # fmt: skip
B13 = AudioDiTConfig(dim=4608, num_heads=36, num_layers=36, mlp_dim=18432)  # paper 6.1.2; 36 heads are an assumption

PRESETS = {"nano": NANO, "13b": B13}
