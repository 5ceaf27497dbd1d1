"""Loader nodes and the choices they offer."""

from __future__ import annotations

import pytest

from moviegen_core.errors import BackendError, CheckpointError


@pytest.fixture
def files(part):
    return part("runtime.files")


def test_first_shard_stands_for_a_sharded_checkpoint(files):
    names = ["a.safetensors", "b-00001-of-00002.safetensors", "b-00002-of-00002.safetensors", "c.ckpt"]
    assert files.usable(names) == ["a.safetensors", "b-00001-of-00002.safetensors"]


def test_first_shard_is_opened_through_its_index(files, tmp_path):
    shard, index = tmp_path / "b-00001-of-00002.safetensors", tmp_path / "b.safetensors.index.json"
    shard.touch()
    index.touch()
    assert files.locate("video", shard.name, lambda name: tmp_path / name) == index


def test_chosen_file_of_a_hugging_face_folder_is_the_one_that_is_opened(files, tmp_path):
    folder = tmp_path / "ul2"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "other.safetensors"):
        (folder / name).touch()
    chosen = folder / "other.safetensors"
    assert files.locate("ul2", "ul2/other.safetensors", lambda name: tmp_path / name) == chosen


def test_missing_file_is_named(files, tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors does not exist"):
        files.locate("video", "nothing.safetensors", lambda name: tmp_path / name)


def test_file_of_another_network_is_refused(nodes, weights):
    with pytest.raises(CheckpointError, match="'tae'"):
        nodes["MovieGenModelLoader"].execute(weights["tae"])


def test_fp8_is_refused_without_comfyui(nodes, weights):
    with pytest.raises(BackendError, match="need ComfyUI"):
        nodes["MovieGenModelLoader"].execute(weights["video"], "fp8_e4m3fn")
