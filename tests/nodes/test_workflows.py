"""The shipped workflow files: whole, flat, and accepted by moviegen_host where it has the nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moviegen_host.graph import check
from moviegen_host.session import Session, active
from moviegen_host.settings import apply_settings
from moviegen_host.workflow import read_workflow

FILES = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
NEEDS_COMFYUI = {"text_to_video_stock_sampler", "tools_longer_video"}  # show ComfyUI's own samplers and loaders


def documents():
    return [pytest.param(json.loads(path.read_text(encoding="utf-8")), id=path.stem) for path in FILES]


@pytest.mark.parametrize("document", documents())
def test_links_agree_with_both_of_their_ends(document):
    nodes = {node["id"]: node for node in document["nodes"]}
    assert len(nodes) == len(document["nodes"]) == document["last_node_id"]
    for link, origin, slot, target, place, kind in document["links"]:
        assert link in nodes[origin]["outputs"][slot]["links"]
        assert nodes[origin]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][place]["link"] == link
        assert nodes[target]["inputs"][place]["type"] == kind
    used = [one["link"] for node in nodes.values() for one in node["inputs"] if one.get("link") is not None]
    assert sorted(used) == sorted(link[0] for link in document["links"])


@pytest.mark.parametrize("document", documents())
def test_nodes_say_where_they_come_from_and_do_not_overlap(document):
    assert document["version"] == 0.4
    boxes = [(*node["pos"], *node["size"]) for node in document["nodes"]]
    for index, (x, y, width, height) in enumerate(boxes):
        for x2, y2, width2, height2 in boxes[index + 1 :]:
            # Titles stand 30 pixels above their nodes.
            assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 - 30 or y2 + height2 <= y - 30
    for node in document["nodes"]:
        if node["type"] != "MarkdownNote":
            assert node["properties"]["cnr_id"] == (
                "moviegen-video-audio" if node["type"].startswith("MovieGen") else "comfy-core"
            )


@pytest.mark.parametrize("document", documents())
def test_note_explains_the_workflow_readably(document):
    notes = [node["widgets_values"][0] for node in document["nodes"] if node["type"] == "MarkdownNote"]
    assert len(notes) == 1
    assert notes[0].startswith("## ")
    assert "`" not in notes[0]  # Nodes 2.0 writes code blue on a note's brown


@pytest.mark.parametrize("document", documents())
def test_values_fit_the_widgets_of_our_nodes(document, nodes):
    for node in document["nodes"]:
        if node["type"] not in nodes or not node["type"].startswith("MovieGen"):
            continue
        inputs = nodes[node["type"]].define_schema().inputs
        widgets = [one for one in inputs if one.has_widget]
        seeds = sum(bool(getattr(one, "control_after_generate", None)) for one in widgets)
        assert len(node["widgets_values"]) == len(widgets) + seeds
        assert [one["name"] for one in node["inputs"] if "widget" in one] == [one.id for one in widgets]
        assert {one["name"] for one in node["inputs"]} == {one.id for one in inputs}


@pytest.mark.parametrize("document", documents())
def test_settings_name_widgets_that_exist(document):
    nodes = {node["id"]: node for node in document["nodes"]}
    settings = document["extra"]["moviegen"]["settings"]
    if {"prompt", "length"} <= set(settings):  # makes a video with our sampler
        assert {"seed", "steps", "cfg", "width", "height"} <= set(settings)
    assert settings
    for node_id, widget in settings.values():
        assert widget in [one["name"] for one in nodes[node_id]["inputs"] if "widget" in one]


NEEDS_FILES = ("tools_", "finish_")  # films that the user chooses
RUNNABLE = [path for path in FILES if path.stem not in NEEDS_COMFYUI and not path.stem.startswith(NEEDS_FILES)]


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_host_accepts_the_workflow_with_other_settings(path, registry):
    named = json.loads(path.read_text(encoding="utf-8"))["extra"]["moviegen"]["settings"]
    others = {"prompt": "a blue fish", "seed": 4, "length": 16, "seconds": 1.5}
    with active(Session(input_directory=path.parent)):  # where the command line looks too
        workflow = read_workflow(path, registry)
        apply_settings(workflow, {name: value for name, value in others.items() if name in named}, registry)
        graph = check(workflow, registry)
    assert len(graph.nodes) == sum(node != "MarkdownNote" for node in kinds(path))


def kinds(path):
    return [node["type"] for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]]
