"""Sizes of the video transformer: the paper's, and the small ones trained and tested here."""

from __future__ import annotations

from .model import VideoDiTConfig

# 256 x 256 latents at most: 32 latent frames (256 frames), 16 x 16 tokens; context widths of the nano encoders.
NANO = VideoDiTConfig(
    dim=192,
    num_heads=3,
    num_layers=8,
    mlp_dim=512,
    context_dims={"ul2": 192, "metaclip": 192, "byt5": 96},
    max_grid=(32, 16, 16),
    qk_norm=True,
)
B1 = VideoDiTConfig(dim=1536, num_heads=12, num_layers=26, mlp_dim=4096)  # not in the paper: head dim 128, 1.0B core
B5 = VideoDiTConfig(dim=3072, num_heads=24, num_layers=32, mlp_dim=8192)  # ablation model; sizes as re-implemented
UPSAMPLER = VideoDiTConfig(  # paper 3.1.5 gives 7B only; layers and width are an assumption
    dim=3584, num_heads=28, num_layers=34, mlp_dim=9728, in_channels=32, max_grid=(14, 68, 120)
)
B30 = VideoDiTConfig(dim=6144, num_heads=48, num_layers=48, mlp_dim=16384)  # paper, table 1

PRESETS = {"nano": NANO, "1b": B1, "5b": B5, "upsampler": UPSAMPLER, "30b": B30}
