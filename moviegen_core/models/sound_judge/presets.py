"""The sound judge has no preset: its classes are the vocabulary that its recipe trains on."""

from __future__ import annotations

from .model import SoundJudgeConfig

PRESETS: dict[str, SoundJudgeConfig] = {}
