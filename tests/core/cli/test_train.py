"""moviegen train: what it tells of its work."""

from __future__ import annotations

import io

import torch

from moviegen_core.devices import choose
from moviegen_core.media.movie import write_movie
from moviegen_core.train.recipes import lora
from moviegen_core.train.shots import ShotConfig
from moviegen_core.train.workspace import Workspace


def test_lora_tells_how_many_shots_it_learns_from(film_folder, tmp_path):
    for name in ("one", "two"):
        write_movie(torch.zeros(3, 8, 32, 32), tmp_path / "films" / f"{name}.mp4", 16)
    recipe = lora.LoraRecipe(
        model=str(film_folder), films=str(tmp_path / "films"), caption="a ball", rank=2, steps=1, tokens_per_batch=16,
        shots=ShotConfig(frames=8, height=32, width=32),
    )  # fmt: skip
    told = io.StringIO()
    lora.run(recipe, Workspace(output=tmp_path / "runs", placement=choose("cpu", "fp32"), out=told))
    assert "\n2 shots, part 1/1 " in f"\n{told.getvalue()}"
    assert "\ncaptions of 2 shots, part 1/1 " in told.getvalue()
