"""Names of recipes and of their fields, as the command line gives them."""

import pytest

from moviegen_core.errors import ConfigError
from moviegen_core.train import run
from moviegen_core.train.recipes import RECIPES, nano_video


def test_settings_reach_the_field_they_name():
    changed = run.with_settings(
        nano_video.VideoRecipe(), {"joint.minutes": "2.5", "clips.count": "7", "method": "adamw"}
    )
    assert (changed.joint.minutes, changed.clips.count, changed.method) == (2.5, 7, "adamw")
    assert changed.long == nano_video.VideoRecipe().long


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_negative_seed_is_refused(name):
    key = "ul2.seed" if name == "nano-text" else "seed"
    with pytest.raises(ConfigError, match=r"seed is -1, but must be at least 0"):
        run.with_settings(RECIPES[name].config, {key: "-1"})


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_factor_on_the_minutes_is_refused(tmp_path, scale):
    with pytest.raises(ConfigError, match="must be a number above 0"):
        run.run("nano-judge", tmp_path, minutes_scale=scale)


@pytest.mark.parametrize("key", ["speed", "joint.speed", "joint.minutes.more"])
def test_unknown_setting_is_refused(key):
    with pytest.raises(ConfigError, match=key):
        run.with_settings(nano_video.VideoRecipe(), {key: "1"})


def test_unknown_recipe_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="nano-tae"):
        run.run("giga", tmp_path)


def test_nano_stands_for_every_recipe_in_the_order_of_their_needs():
    names = run.names("nano")
    assert names == [name for name in RECIPES if name != "lora"]
    assert sorted(("nano-text", "nano-tae", "nano-video"), key=names.index) == ["nano-text", "nano-tae", "nano-video"]
    assert names.index("nano-sound-match") < names.index("nano-audio")
    assert {"nano-judge", "nano-sound-judge"} < set(names)


def test_setting_that_names_no_recipe_of_several_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"write nano-text\.seed"):
        run.run("nano", tmp_path, settings={"seed": "1"})


def test_settings_of_several_recipes_carry_their_names():
    told = run.settings_by_recipe({"nano-tae.seed": "1", "nano-video.joint.steps": "2"}, run.names("nano"))
    assert (told["nano-tae"], told["nano-video"], told["nano-text"]) == ({"seed": "1"}, {"joint.steps": "2"}, {})
    alone = run.settings_by_recipe({"seed": "1", "nano-tae.joint.steps": "2"}, ["nano-tae"])
    assert alone == {"nano-tae": {"seed": "1", "joint.steps": "2"}}
