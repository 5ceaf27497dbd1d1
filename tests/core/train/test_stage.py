"""A stage of 0 minutes or 0 steps is left out, and one without any limit is refused."""

from __future__ import annotations

import pytest

from moviegen_core.errors import ConfigError
from moviegen_core.train import run
from moviegen_core.train.loop import LoopConfig
from moviegen_core.train.optim import OptimConfig
from moviegen_core.train.recipes import RECIPES
from moviegen_core.train.stage import Stage

STAGES = [
    ("nano-tae", "joint"), ("nano-tae", "decoder"), ("nano-video", "images"), ("nano-video", "best"),
    ("nano-codec", "joint"), ("nano-codec", "decoder"),
]  # fmt: skip


def told(recipe, stage, **settings):
    """A stage of a recipe, of which `settings` are told."""
    config = run.with_settings(RECIPES[recipe].config, {f"{stage}.{name}": text for name, text in settings.items()})
    return getattr(config, stage)


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
def test_zero_of_either_limit_leaves_a_stage_out(recipe, stage):
    assert not told(recipe, stage, minutes="0", steps="5").runs
    assert not told(recipe, stage, minutes="5", steps="0").runs
    assert not told(recipe, stage, minutes="0", steps="null").runs
    assert told(recipe, stage, minutes="5", steps="null").runs
    assert told(recipe, stage, minutes="null", steps="5").runs


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
def test_stage_without_any_limit_is_refused_at_once(recipe, stage):
    with pytest.raises(ConfigError, match=r"Stage has neither minutes nor steps, so it never ends; give it one"):
        told(recipe, stage, minutes="null", steps="null")


@pytest.mark.parametrize("recipe", ["nano-judge", "nano-sound-judge", "nano-sound-match", "nano-audio"])
def test_recipe_of_one_stage_is_not_left_out(recipe):
    with pytest.raises(ConfigError, match="neither minutes nor steps"):
        run.with_settings(RECIPES[recipe].config, {"minutes": "null"})
    with pytest.raises(ConfigError, match="steps is 0, but must be above 0"):
        run.with_settings(RECIPES[recipe].config, {"steps": "0"})
    assert run.with_settings(RECIPES[recipe].config, {"minutes": "null", "steps": "3"}).runs


def test_recipes_run_these_stages_by_default():
    stages = {
        (recipe, name): stage.runs
        for recipe in ("nano-tae", "nano-video", "nano-codec")
        for name, stage in vars(RECIPES[recipe].config).items()
        if isinstance(stage, Stage)
    }
    assert {key for key, runs in stages.items() if not runs} == {("nano-codec", "joint"), ("nano-codec", "decoder")}
    assert len(stages) == 10


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
def test_batches_a_step_and_the_time_between_checkpoints_can_be_told(recipe, stage):
    loop = told(recipe, stage, minutes="1", accumulate="4", save_seconds="600").loop("joint", 1)
    assert (loop.accumulate, loop.save_seconds) == (4, 600)
    usual, plain = LoopConfig(name="joint", steps=1), told(recipe, stage, minutes="1").loop("joint", 1)
    assert (plain.accumulate, plain.save_seconds) == (usual.accumulate, usual.save_seconds)


def test_loop_of_a_stage_has_its_limits_and_its_rate():
    stage = Stage(
        minutes=3, steps=7, learning_rate=0.1, warmup_steps=4, schedule="linear", ema_decay=0.5, accumulate=6,
        save_seconds=9.0,
    )  # fmt: skip
    assert stage.loop("joint", 2, snapshots=(1.0,), weight_decay=0.3) == LoopConfig(
        name="joint", steps=7, max_minutes=3, seed=2, ema_decay=0.5, snapshots=(1.0,),
        accumulate=6, save_seconds=9.0,
        optim=OptimConfig(
            learning_rate=0.1, warmup_steps=4, schedule="linear", final_scale=0.02, weight_decay=0.3
        ),
    )  # fmt: skip
