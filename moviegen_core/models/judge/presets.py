"""The judge has no preset: its classes are the vocabulary that its recipe trains on."""

from __future__ import annotations

from .model import JudgeConfig

PRESETS: dict[str, JudgeConfig] = {}
