"""What a recipe hands over: weights with their facts, and what they were trained on from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moviegen_core import weights
from moviegen_core.errors import CheckpointError
from moviegen_core.models import catalog, loading
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.train import state
from moviegen_core.train.recipes import RECIPES

CONFIG = VideoDiTConfig(dim=8, num_heads=1, num_layers=1, mlp_dim=8, context_dims={"ul2": 4}, max_grid=(2, 2, 2))
NAME, RECIPE = "nano/video", "nano-video"


def test_steps_of_a_run_are_read_without_its_weights(workspace, monkeypatch):
    state.save(workspace.folder("run", "checkpoint.pt"), {"step": 7, "module": {"weight": torch.zeros(3)}})
    read = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *told, **how: read.append(how.get("mmap")) or load(*told, **how))
    assert workspace.steps("run") == 7
    assert read == [True]


def network(seed):
    torch.manual_seed(seed)
    made = catalog.build("video_dit", CONFIG, device="cpu")
    torch.nn.init.normal_(made.patch_out.weight)
    return made


def test_factor_on_the_minutes_is_told_with_the_settings(workspace):
    scaled = replace(workspace, minutes_scale=0.5, settings={"seed": "4"})
    scaled.export(NAME, network(0))
    assert weights.shipped(workspace.ship)[NAME].settings == {"seed": "4", "minutes_scale": "0.5"}
    workspace.export(NAME, network(0))
    assert weights.shipped(workspace.ship)[NAME].settings == {}


def test_weights_and_manifest_are_those_of_before_when_an_export_is_stopped(workspace, monkeypatch):
    workspace.export(NAME, network(0))
    before = workspace.weight_file(NAME).read_bytes()

    def stopped(*arguments, **facts):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(weights, "register", stopped)
        with pytest.raises(KeyboardInterrupt):
            workspace.export(NAME, network(1))
    assert workspace.weight_file(NAME).read_bytes() == before
    assert sorted(path.name for path in workspace.ship.iterdir()) == ["manifest.json", "video.safetensors"]


def test_start_that_the_export_replaces_is_kept_while_it_is_needed(workspace):
    start = str(workspace.export(NAME, network(0), recipe=RECIPE, steps=10))
    before = weights.lineage(start)
    for _ in range(2):  # the training, and the same command again
        begun = workspace.begun(start, "video_dit", RECIPE)
        assert torch.allclose(begun.patch_out.weight, network(0).patch_out.weight, atol=1e-2)
        for seed, steps in ((1, 3), (2, 5)):  # in the middle, and at the end
            workspace.export(NAME, network(seed), start=start, recipe=RECIPE, steps=steps)
            entry = weights.shipped(workspace.ship)[NAME]
            assert (entry.ancestors, entry.steps) == (before, 10 + steps)
    anew = replace(workspace, resume=False).begun(start, "video_dit", RECIPE)
    assert torch.allclose(anew.patch_out.weight, network(2).patch_out.weight, atol=1e-2)


def test_start_that_no_export_replaces_is_read_where_it_is(workspace, tmp_path):
    file = loading.save(network(0), tmp_path / "start.safetensors")
    workspace.begun(str(file), "video_dit", RECIPE)
    assert not workspace.folder(RECIPE).exists()


@pytest.mark.parametrize("name", ["nano-tae", "nano-video", "nano-judge", "nano-sound-match", "nano-audio"])
def test_folder_to_train_on_from_is_refused_before_the_work(workspace, tmp_path, name):
    with pytest.raises(CheckpointError, match="a folder; name the weight file in it"):
        RECIPES[name].run(replace(RECIPES[name].config, start=str(tmp_path)), workspace)
    assert not workspace.output.exists()


@pytest.mark.parametrize("name", ["nano-tae", "nano-video", "nano-judge", "nano-sound-match", "nano-audio"])
def test_damaged_or_foreign_weights_to_train_on_from_are_refused_before_the_work(workspace, tmp_path, name):
    empty, foreign, other = (tmp_path / f"{name}.safetensors" for name in ("empty", "foreign", "other"))
    empty.touch()
    loading.write_tensors({"weight": torch.zeros(1)}, foreign)
    ours = {"format": loading.FORMAT, "network": "sound_judge", "config": "{}"}
    loading.write_tensors({"weight": torch.zeros(1)}, other, ours)
    for start, line in (
        (empty, "is not a safetensors file"),
        (foreign, "holds no network of ours; name weights of"),
        (other, "holds the network 'sound_judge'; name weights of"),
    ):
        with pytest.raises(CheckpointError, match=line):
            RECIPES[name].run(replace(RECIPES[name].config, start=str(start)), workspace)
    assert not workspace.output.exists()
