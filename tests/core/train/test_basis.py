"""What a stage is trained on leaves out what is told elsewhere."""

from __future__ import annotations

from dataclasses import replace

from moviegen_core.train.basis import basis_of
from moviegen_core.train.recipes import RECIPES, nano_text, nano_video

RECIPE = nano_video.VideoRecipe()


def changed(recipe, name="joint", **data):
    """Names that differ from those of the recipe as it is."""
    before, now = basis_of(RECIPE, RECIPE.joint), basis_of(recipe, getattr(recipe, name), **data)
    return {name for name in {**before, **now} if before.get(name) != now.get(name)}


def test_settings_of_the_recipe_and_of_the_stage_are_told():
    assert changed(replace(RECIPE, variants=2)) == {"variants"}
    assert changed(replace(RECIPE, clips=replace(RECIPE.clips, count=5))) == {"clips.count"}
    assert changed(replace(RECIPE, joint=replace(RECIPE.joint, stills=3))) == {"stage.stills"}
    assert changed(RECIPE, latents={"clips": {"tae": "abc"}}) == {"latents.clips.tae"}


def test_limits_other_stages_and_the_optimiser_are_told_elsewhere():
    assert not changed(replace(RECIPE, start="nano/video", images=replace(RECIPE.images, stills=3)))
    assert not changed(replace(RECIPE, joint=replace(RECIPE.joint, minutes=1, steps=5, learning_rate=1.0)))
    assert not changed(replace(RECIPE, joint=replace(RECIPE.joint, accumulate=4, save_seconds=1.0)))


def test_batches_a_step_are_told_with_the_optimiser_and_the_time_between_checkpoints_nowhere():
    loops = [replace(RECIPE.joint, **told).loop("joint", 1) for told in ({}, {"accumulate": 4}, {"save_seconds": 1.0})]
    assert loops[0].facts == loops[2].facts == {**loops[1].facts, "accumulate": 1}
    recipe = RECIPES["nano-audio"].config
    assert basis_of(recipe) == basis_of(replace(recipe, accumulate=4, save_seconds=1.0))


def test_values_are_as_checkpoints_give_them_back():
    assert basis_of(RECIPES["nano-audio"].config)["turns"] == [6, 2, 1]
    assert basis_of(RECIPE)["clips.kinds"][0] == [32, 16, 12]


def test_text_encoders_are_told_apart_by_their_own_batches():
    recipe = nano_text.TextRecipe(ul2_batch=3, byt5_batch=5)
    assert nano_text.basis(recipe, "byt5") == {"byt5_batch": 5}
