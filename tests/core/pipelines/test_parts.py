"""Where a pipeline finds its weights: under a shipped name, or in a folder of the user's own."""

from __future__ import annotations

import pytest

from moviegen_core import weights
from moviegen_core.errors import CheckpointError
from moviegen_core.pipelines.parts import find_parts, recommended


def test_part_of_a_folder_is_a_file_an_index_or_a_folder_of_its_name(tmp_path):
    for name in ("video.safetensors", "tae.safetensors.index.json", "byt5.safetensors", "other.safetensors"):
        (tmp_path / name).touch()
    for name in ("ul2", "byt5"):
        (tmp_path / name).mkdir()
    assert find_parts(tmp_path, ("video", "tae", "ul2", "metaclip", "byt5")) == {
        "video": tmp_path / "video.safetensors",
        "tae": tmp_path / "tae.safetensors.index.json",
        "ul2": tmp_path / "ul2",
        "byt5": tmp_path / "byt5.safetensors",
    }


def test_parts_of_a_shipped_name_are_those_of_the_manifest():
    assert find_parts("nano", ("video", "t5")) == {"video": weights.path("nano/video")}
    assert recommended(weights.path("nano/video")) == weights.shipped()["nano/video"].sampling


@pytest.mark.parametrize("source", ["nanno", "", "missing/folder"])
def test_name_that_is_neither_shipped_nor_a_folder_is_refused(source):
    with pytest.raises(CheckpointError, match=r"is neither a shipped model nor a folder at .*; shipped: nano"):
        find_parts(source, ("video",))
