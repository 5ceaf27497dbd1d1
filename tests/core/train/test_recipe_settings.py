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


def test_folder_that_cannot_receive_the_weights_is_told_before_the_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigError, match=r"cannot receive the trained weights: .* is no writable folder; name another"
    ):
        run.run("nano-tae", tmp_path / "runs", ship=tmp_path / "file", device="cpu", dtype="float32")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_negative_seed_is_refused(name):
    key = "ul2.seed" if name == "nano-text" else "seed"
    with pytest.raises(ConfigError, match=r"seed is -1, but must be at least 0"):
        run.with_settings(RECIPES[name].config, {key: "-1"})


@pytest.mark.parametrize(
    ("name", "key", "value", "match"),
    [
        ("nano-text", "byt5_batch", "0", "byt5_batch is 0, but must be at least 1"),
        ("nano-text", "ul2.optim.learning_rate", "-1", r"learning_rate is -1, but must be at least 0"),
        ("nano-text", "ul2.optim.learning_rate", "NaN", "learning_rate is nan"),
        ("nano-text", "ul2.optim.rate_scales", "0.5", r"rate_scales is 0.5, but needs dict\[str, float\]"),
        ("nano-text", "ul2.workers", "-1", r"LoopConfig\.workers is -1, but must be at least 0"),
        ("nano-tae", "statistics_clips", "0", "statistics_clips is 0"),
        ("nano-tae", "joint.learning_rate", "-1", "learning_rate is -1"),
        ("nano-tae", "joint.minutes", "NaN", "minutes is nan"),
        ("nano-tae", "joint.crops", "[]", "no crops"),
        ("nano-tae", "decoder.method", "adamx", "'adamx' is unknown; use one of adamw, muon"),
        ("nano-tae", "joint.accumulate", "0", r"TAEStage\.accumulate is 0, but must be at least 1"),
        ("nano-tae", "decoder.save_seconds", "-1", r"TAEStage\.save_seconds is -1, but must be at least 0"),
        ("nano-tae", "decoder.final_scale", "-1", "final_scale is -1"),
        ("nano-tae", "joint.crops", '[{"frames": 0, "size": 8, "batch_size": 1}]', "frames is 0"),
        ("nano-video", "joint.learning_rate", "Infinity", "learning_rate is inf"),
        ("nano-video", "joint.tokens_per_batch", "0", "tokens_per_batch is 0"),
        ("nano-video", "variants", "0", "variants is 0"),
        ("nano-video", "method", "adamx", "'adamx' is unknown"),
        ("nano-video", "best.schedule", "cosin", "'cosin' is unknown; use one of constant, linear, cosine"),
        ("nano-video", "best.ema_decay", "1.5", "ema_decay 1.5; at least 0 and below 1 is needed"),
        ("nano-video", "best.still_windows", "-1", "still_windows is -1, but must be at least 0"),
        ("nano-video", "best.best_share", "-1", "best_share is -1, but must be above 0 and at most 1"),
        ("nano-video", "images.stills", "0", "nothing to train on; set one of stills, videos, longs, still_windows"),
        ("nano-judge", "batch_size", "0", "batch_size is 0"),
        ("nano-judge", "method", "adamx", "'adamx' is unknown"),
        ("nano-judge", "minutes", "0", "minutes is 0, but must be above 0"),
        ("nano-sound-judge", "learning_rate", "NaN", "learning_rate is nan"),
        ("nano-sound-judge", "schedule", "cosin", "'cosin' is unknown"),
        ("nano-sound-match", "method", "adamx", "'adamx' is unknown"),
        ("nano-sound-match", "turns", "[0, 1]", r"turns \[0, 1\] must be at least 1 for the clips"),
        ("nano-sound-match", "seconds", "NaN", "use at least"),
        ("nano-codec", "statistics_sounds", "0", "statistics_sounds is 0"),
        ("nano-audio", "method", "adamx", "'adamx' is unknown"),
        ("nano-audio", "turns", "[0, 2, 1]", r"turns \[0, 2, 1\] must be at least 1 for the clips"),
        ("nano-audio", "turns", "[1, -1, 1]", "at least 0 for the others"),
        ("lora", "learning_rate", "-1", "learning_rate is -1"),
        ("lora", "ema_decay", "1", "ema_decay 1; at least 0 and below 1"),
        ("lora", "steps", "null", "stage lora has no end"),
    ],
)
def test_setting_that_nothing_could_be_trained_with_is_refused_before_the_work(name, key, value, match):
    with pytest.raises(ConfigError, match=match):
        run.with_settings(RECIPES[name].config, {key: value})


def test_settings_of_a_stage_that_is_left_out_do_not_matter():
    told = {"long.minutes": "0", "long.stills": "0", "long.videos": "0", "long.longs": "0", "long.best_share": "0"}
    assert not run.with_settings(RECIPES["nano-video"].config, told).long.runs


def test_adapters_that_would_see_windows_alone_are_refused():
    told = {"images.stills": "0", "images.still_windows": "1"}
    assert run.with_settings(RECIPES["nano-video"].config, told).images.runs
    with pytest.raises(ConfigError, match="without windows; give each stage stills, videos or longs above 0"):
        run.with_settings(RECIPES["nano-video"].config, {**told, "adapter_rank": "2"})


@pytest.mark.parametrize("name", ["nano-tae", "nano-video", "nano-sound-match", "nano-codec", "nano-audio"])
def test_unknown_preset_is_told_before_anything_is_drawn(workspace, name):
    config = run.with_settings(RECIPES[name].config, {"preset": "giga"})
    with pytest.raises(ConfigError, match="has no preset 'giga'; use one of nano"):
        RECIPES[name].run(config, workspace)
    assert not workspace.output.exists()


def test_unknown_strategy_is_refused_before_the_work(tmp_path):
    with pytest.raises(ConfigError, match="strategy 'magic' is unknown; use one of ddp, fsdp"):
        run.run("nano-judge", tmp_path / "runs", strategy="magic")
    assert not (tmp_path / "runs").exists()


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
