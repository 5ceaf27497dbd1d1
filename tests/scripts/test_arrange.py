"""scripts/arrange.py: every template has room for what its nodes show, so that none covers another."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "workflows").glob("*.json"))
SHOWS = {"MovieGenVideoSampler", "MovieGenSoundSampler", "SamplerCustomAdvanced", "SaveVideo", "LoadVideo", "SaveImage"}


@pytest.fixture(scope="module")
def arrange():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("moviegen_arrange", ROOT / "scripts" / "arrange.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def document(request):
    """A workflow file."""
    return json.loads(request.param.read_text(encoding="utf-8"))


def apart(one, other):
    """Whether two boxes (left, top, width, height) share nothing."""
    (x, y, width, height), (x2, y2, width2, height2) = one, other
    return x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def test_template_is_as_the_script_leaves_it(arrange, document):
    given = copy.deepcopy(document)
    arrange.arrange(document)
    assert document == given


def test_no_node_covers_another_when_previews_and_players_are_shown(arrange, document):
    boxes = []
    for node in document["nodes"]:
        x, y = node["pos"]
        height = node["size"][1] if node["type"] == "MarkdownNote" else max(node["size"][1], arrange.room(node))
        boxes.append((x, y - arrange.TITLE, node["size"][0], height + arrange.TITLE))
        if node["type"] in SHOWS:
            assert arrange.room(node) >= 300  # widgets, and 220 pixels of picture in the classic renderer
    assert [pair for index, pair in enumerate(boxes) for other in boxes[index + 1 :] if not apart(pair, other)] == []


def test_groups_lie_beside_each_other_around_whole_nodes(document):
    frames = [tuple(group["bounding"]) for group in document["groups"]]
    assert all(apart(one, other) for index, one in enumerate(frames) for other in frames[index + 1 :])
    for node in document["nodes"]:
        box = (node["pos"][0], node["pos"][1] - 30, node["size"][0], node["size"][1] + 30)
        for left, top, width, height in frames:
            inside = left < box[0] and top < box[1] and box[0] + box[2] < left + width
            inside = inside and box[1] + box[3] < top + height
            assert inside or apart(box, (left, top, width, height))


def test_node_that_grew_pushes_down_what_is_below_and_its_group(arrange, document):
    given = copy.deepcopy(document)
    node = min((one for one in document["nodes"] if one["type"] != "MarkdownNote"), key=lambda one: one["pos"])
    node["size"][1] += 400
    arrange.arrange(document)
    for one, before in zip(document["nodes"], given["nodes"], strict=True):
        below = one["pos"][0] == node["pos"][0] and one["pos"][1] > node["pos"][1]
        assert one["pos"][0] == before["pos"][0]
        assert one["pos"][1] >= before["pos"][1] + (350 if below else 0)
