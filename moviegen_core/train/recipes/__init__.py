"""Recipes: what is trained, in which stages, with which sizes and seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import (
    lora,
    nano_audio,
    nano_codec,
    nano_judge,
    nano_sound_judge,
    nano_sound_match,
    nano_tae,
    nano_text,
    nano_video,
)


@dataclass(frozen=True)
class Recipe:
    """A frozen dataclass of settings, and the function that trains by it: run(config, workspace)."""

    config: Any
    run: Callable[[Any, Any], None]


RECIPES: dict[str, Recipe] = {
    "nano-text": Recipe(nano_text.TextRecipe(), nano_text.run),
    "nano-tae": Recipe(nano_tae.TAERecipe(), nano_tae.run),
    "nano-video": Recipe(nano_video.VideoRecipe(), nano_video.run),
    "nano-judge": Recipe(nano_judge.JudgeRecipe(), nano_judge.run),
    "nano-sound-match": Recipe(nano_sound_match.SoundMatchRecipe(), nano_sound_match.run),
    "nano-codec": Recipe(nano_codec.CodecRecipe(), nano_codec.run),
    "nano-sound-judge": Recipe(nano_sound_judge.SoundJudgeRecipe(), nano_sound_judge.run),
    "nano-audio": Recipe(nano_audio.AudioRecipe(), nano_audio.run),
    "lora": Recipe(lora.LoraRecipe(), lora.run),
}
