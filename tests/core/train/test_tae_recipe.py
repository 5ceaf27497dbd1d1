"""The recipe of the autoencoder, from its first stage to shipped weights, with tiny sizes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from moviegen_core import weights
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.media.frames import from_uint8
from moviegen_core.models import loading
from moviegen_core.train import loop, state
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.crops import CropConfig
from moviegen_core.train.latents import encoder_hash, weights_hash
from moviegen_core.train.recipes import nano_tae

CLIPS = ClipConfig(count=3, size=32, kinds=((16, 16, 2), (17, 24, 1)))


@pytest.fixture(scope="module")
def trained_tae(tmp_path_factory, in_folder):
    """A workspace in which the autoencoder recipe has run."""
    workspace = in_folder(tmp_path_factory.mktemp("tae"))
    nano_tae.run(tiny_tae_recipe(), workspace)
    return workspace


def tiny_tae_recipe():
    image, clip = (CropConfig(frames=frames, size=16, batch_size=1) for frames in (1, 8))
    stage = nano_tae.TAEStage(minutes=None, steps=1, crops=(image, clip))
    return nano_tae.TAERecipe(
        clips=CLIPS,
        start_clips=3,
        joint=stage,
        finish=stage,
        decoder=replace(stage, adversary_weight=0.1, steps=2),
        statistics_clips=3,
    )


def test_autoencoder_recipe_ships_weights_with_latents_of_unit_variance(trained_tae):
    workspace = trained_tae
    entry = weights.shipped(workspace.ship)["nano/tae"]
    assert (entry.network, entry.recipe, entry.steps) == ("tae", "nano-tae", 4)
    tae = loading.load(workspace.weight_file("nano/tae"), dtype=torch.float32)
    assert not torch.equal(tae.latent_std, torch.ones(16))
    assert list(workspace.folder("nano-tae", "decoder", "sheets").glob("step-*.png"))


def test_last_stage_of_the_autoencoder_leaves_the_encoder_alone(trained_tae):
    finish, decoder = (
        torch.load(trained_tae.folder("nano-tae", stage, "checkpoint.pt"), weights_only=True)
        for stage in ("finish", "decoder")
    )
    for name, value in decoder["module"].items():
        if name.startswith("encoder."):
            assert torch.equal(value, finish["ema"]["shadow"][name]), name
    assert not torch.equal(
        decoder["module"]["decoder.head.linear.weight"], finish["module"]["decoder.head.linear.weight"]
    )


def copied(workspace, in_folder, folder):
    """The same work in a folder of its own."""
    shutil.copytree(workspace.output, folder / "runs")
    return in_folder(folder)


def test_training_anew_first_deletes_what_an_older_one_left(trained_tae, in_folder, tmp_path, monkeypatch):
    def stop(self, batches):
        raise KeyboardInterrupt

    workspace = copied(trained_tae, in_folder, tmp_path)
    folder = workspace.folder("nano-tae")
    (folder / "decoder" / "snapshot-0.500.pt").touch()
    monkeypatch.setattr(loop.Trainer, "_optimise", stop)
    with pytest.raises(KeyboardInterrupt):
        nano_tae.run(tiny_tae_recipe(), replace(workspace, resume=False))
    assert not list(folder.rglob("*.pt"))


def test_stage_of_an_older_training_does_not_replace_a_newer_one(trained_tae, in_folder, tmp_path):
    workspace, recipe = copied(trained_tae, in_folder, tmp_path), tiny_tae_recipe()
    with pytest.raises(CheckpointError, match=r"nano-tae/finish holds .* other weights"):
        nano_tae.run(replace(recipe, joint=replace(recipe.joint, steps=3)), workspace)
    assert state.load(workspace.folder("nano-tae", "joint", "checkpoint.pt"))["step"] == 3


def test_finished_stage_of_another_recipe_is_not_shipped_as_this_one(trained_tae, in_folder, tmp_path):
    workspace, recipe = copied(trained_tae, in_folder, tmp_path), tiny_tae_recipe()
    with pytest.raises(CheckpointError, match=r"nano-tae/joint holds .* another kl_weight; delete that folder"):
        nano_tae.run(replace(recipe, kl_weight=1.0), workspace)
    assert not workspace.ship.exists()


def test_autoencoder_stages_without_time_are_left_out(trained_tae, in_folder, tmp_path):
    workspace, recipe = copied(trained_tae, in_folder, tmp_path), tiny_tae_recipe()
    none = [replace(recipe.joint, minutes=0), replace(recipe.joint, minutes=5, steps=0)]
    nano_tae.run(replace(recipe, finish=none[0], decoder=none[1]), workspace)
    assert weights.shipped(workspace.ship)["nano/tae"].steps == 1


def test_decoder_alone_learns_on_from_weights_and_leaves_their_latents_as_they_are(trained_tae, in_folder, tmp_path):
    before, recipe = trained_tae.weight_file("nano/tae"), tiny_tae_recipe()
    workspace = in_folder(tmp_path)
    recipe = replace(recipe, start=str(before), **left_out(recipe, "joint", "finish"))
    nano_tae.run(recipe, workspace)
    taes = [loading.load(file, dtype=torch.float32) for file in (before, workspace.weight_file("nano/tae"))]
    assert encoder_hash(taes[0]) == encoder_hash(taes[1])
    assert weights_hash(taes[0]) != weights_hash(taes[1])


@pytest.mark.parametrize(("steps", "heard"), [(1, False), (2, True)])
def test_adversary_is_heard_after_its_steps_however_many_batches_each_has(
    trained_tae, in_folder, tmp_path, steps, heard
):
    workspace, recipe = in_folder(tmp_path), tiny_tae_recipe()
    decoder = replace(recipe.decoder, adversary_start=1, accumulate=2, steps=steps)
    start = str(trained_tae.weight_file("nano/tae"))
    nano_tae.run(replace(recipe, start=start, decoder=decoder, **left_out(recipe, "joint", "finish")), workspace)
    *_, last = workspace.folder("nano-tae", "decoder", "metrics.jsonl").read_text().splitlines()
    assert ("fooling" in json.loads(last)) == heard


def test_anchored_encoder_stays_close_to_its_start_and_keeps_its_measure(trained_tae, in_folder, tmp_path):
    recipe, pixels = tiny_tae_recipe(), from_uint8(np.array(trained_tae.clips(CLIPS).pixels(0)))[None]
    start = loading.load(trained_tae.weight_file("nano/tae"), dtype=torch.float32)
    start.set_statistics(torch.zeros(16), torch.ones(16))
    before = loading.save(start, tmp_path / "start.safetensors")
    joint = replace(recipe.joint, steps=12, learning_rate=3e-4, warmup_steps=0, schedule="linear", ema_decay=0.0)
    ways = []
    for weight in (1e-6, 1e3):
        workspace = in_folder(tmp_path / str(weight))
        left = left_out(recipe, "finish", "decoder")
        nano_tae.run(replace(recipe, start=str(before), joint=joint, anchor_weight=weight, **left), workspace)
        trained = loading.load(workspace.weight_file("nano/tae"), dtype=torch.float32)
        assert torch.equal(trained.latent_mean, start.latent_mean)
        assert torch.equal(trained.latent_std, start.latent_std)
        with torch.inference_mode():
            ways.append(float((trained.encode(pixels) - start.encode(pixels)).square().mean()))
    assert 0 < ways[1] < ways[0] / 2


def test_anchor_without_a_start_is_refused(workspace):
    with pytest.raises(ConfigError, match=r"anchor_weight keeps latents close to those of start; give start"):
        nano_tae.run(replace(tiny_tae_recipe(), anchor_weight=0.1), workspace)


def left_out(recipe, *names):
    """These stages without time."""
    return {name: replace(getattr(recipe, name), minutes=0, steps=None) for name in names}
