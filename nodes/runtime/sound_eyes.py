"""Frame encoder files as loader nodes choose them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from moviegen_core import weights
from moviegen_core.conditioning.sound import CLIP_MEAN, CLIP_STD, LATENT_RATE, NANO_APPEARANCE_RATE, FrameEncoders
from moviegen_core.models import loading
from moviegen_core.models.sound_match.model import SoundMatch
from moviegen_core.models.vision.checkpoint import load_vision_tower

VISION, MATCH = "metaclip_vision", "sound_match"


def read_encoders(paths: dict[str, Path], device: torch.device) -> FrameEncoders:
    """Files by part, at least one of VISION and MATCH -> encoders in fp32 on `device`."""
    vision = load_vision_tower(paths[VISION], device=device)[0] if VISION in paths else None
    motion = None
    if MATCH in paths:
        motion = cast(SoundMatch, loading.load(paths[MATCH], device=device, dtype=torch.float32, network="sound_match"))
    # Public towers want normalised colours; the shipped one was trained on [-1, 1], and is shown fewer pictures.
    if VISION in paths and not paths[VISION].is_relative_to(weights.SHIPPED_FOLDER):
        public: dict[str, Any] = {"pixel_mean": CLIP_MEAN, "pixel_std": CLIP_STD, "appearance_rate": float(LATENT_RATE)}
        return FrameEncoders(vision=vision, motion=motion, **public)
    return FrameEncoders(vision=vision, motion=motion, appearance_rate=NANO_APPEARANCE_RATE)
