"""Frame encoder files as loader nodes choose them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from moviegen_core.conditioning.sound import FrameEncoders
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
    return FrameEncoders.reading(vision, motion)
