"""Sizes of the vision towers: the frame encoder of the paper (1024 features) and the nano one."""

from .model import VisionConfig

# 1024 is ViT-H/14's embedding or ViT-L/14's width; which one the paper means is not stated. Taken: L/14.
METACLIP_L14 = VisionConfig(dim=1024, num_layers=24, num_heads=16, mlp_dim=4096, image_size=224, patch_size=14)
NANO = VisionConfig(dim=192, num_layers=3, num_heads=4, mlp_dim=512, image_size=64, patch_size=16)

PRESETS = {"l14": METACLIP_L14, "nano": NANO}
