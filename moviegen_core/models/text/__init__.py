"""Frozen text encoders: UL2 and ByT5 (T5 encoders) and MetaCLIP (a CLIP text tower)."""

from .checkpoint import load_text_encoder, save_text_encoder
from .model import TextConfig, TextEncoder, build_network

__all__ = ["TextConfig", "TextEncoder", "build_network", "load_text_encoder", "save_text_encoder"]
