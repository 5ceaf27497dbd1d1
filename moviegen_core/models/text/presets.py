"""Sizes of the published encoders, and of the nano ones that ship.

Paper figure 8 gives the widths 4096 (UL2), 1280 (MetaCLIP) and 1472 (ByT5), which fix the models; 256
MetaCLIP tokens are stated. The token limits of UL2 and ByT5 are not: 512 and 256 are assumptions.
"""

from .model import TextConfig

UL2 = TextConfig(
    family="t5",
    vocab_size=32128,
    dim=4096,
    num_layers=32,
    num_heads=16,
    head_dim=256,
    mlp_dim=16384,
    activation="gated-silu",
    max_tokens=512,
)
METACLIP = TextConfig(  # text tower of ViT-bigG/14
    family="clip",
    vocab_size=49408,
    dim=1280,
    num_layers=32,
    num_heads=20,
    head_dim=64,
    mlp_dim=5120,
    activation="quick_gelu",
    max_tokens=256,
    norm_eps=1e-5,
)
BYT5 = TextConfig(  # byt5-small
    family="t5",
    vocab_size=384,
    dim=1472,
    num_layers=12,
    num_heads=6,
    head_dim=64,
    mlp_dim=3584,
    activation="gated-gelu",
    max_tokens=256,
)
NANO_UL2 = TextConfig(
    family="t5",
    vocab_size=1536,
    dim=192,
    num_layers=3,
    num_heads=4,
    head_dim=48,
    mlp_dim=320,
    activation="gated-silu",
    max_tokens=512,
)
NANO_METACLIP = TextConfig(
    family="clip",
    vocab_size=1536,
    dim=192,
    num_layers=3,
    num_heads=4,
    head_dim=48,
    mlp_dim=512,
    activation="quick_gelu",
    max_tokens=256,
    norm_eps=1e-5,
)
NANO_BYT5 = TextConfig(
    family="t5",
    vocab_size=384,
    dim=96,
    num_layers=2,
    num_heads=4,
    head_dim=24,
    mlp_dim=192,
    activation="gated-gelu",
    max_tokens=256,
)

FULL = {"ul2": UL2, "metaclip": METACLIP, "byt5": BYT5}
NANO = {"ul2": NANO_UL2, "metaclip": NANO_METACLIP, "byt5": NANO_BYT5}
PRESETS = {**FULL, **{f"nano-{role}": config for role, config in NANO.items()}}
