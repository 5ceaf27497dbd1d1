"""Blueprints: one node each, whose inside fits our nodes and listens to what is set outside."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from moviegen_host.graph import check
from moviegen_host.session import Session, active
from moviegen_host.workflow import read_workflow

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "subgraphs").glob("*.json"))
SAVE = {"VIDEO": "SaveVideo", "AUDIO": "SaveAudio"}


@pytest.fixture(scope="module")
def script():
    """scripts/blueprints.py as a module."""
    spec = importlib.util.spec_from_file_location("moviegen_blueprints", ROOT / "scripts" / "blueprints.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def blueprint(request):
    """A file's name and content."""
    return request.param.stem, json.loads(request.param.read_text(encoding="utf-8"))


def test_files_are_as_the_script_cuts_them_out_of_the_workflows(script, blueprint):
    name, document = blueprint
    assert sorted(script.CUTS) == [path.stem for path in FILES]
    assert document == script.blueprint(name, script.CUTS[name])


def test_links_agree_with_both_of_their_ends(blueprint):
    name, document = blueprint
    [outer], [inner] = document["nodes"], document["definitions"]["subgraphs"]
    assert outer["type"] == inner["id"]
    assert outer["title"] == inner["name"] == name
    assert inner["description"]
    nodes = {node["id"]: node for node in inner["nodes"]}
    for link in inner["links"]:
        if link["target_id"] != -20:
            assert nodes[link["target_id"]]["inputs"][link["target_slot"]]["link"] == link["id"]
        if link["origin_id"] != -10:
            assert link["id"] in nodes[link["origin_id"]]["outputs"][link["origin_slot"]]["links"]
        else:
            assert link["id"] in inner["inputs"][link["origin_slot"]]["linkIds"]
    used = [one["link"] for node in nodes.values() for one in node["inputs"] if one["link"] is not None]
    assert len(used) == len(set(used))
    for node_id, widget in outer["properties"]["proxyWidgets"]:
        assert widget in [one["name"] for one in nodes[int(node_id)]["inputs"]] + ["control_after_generate"]


def test_blueprint_runs_between_stock_nodes_with_values_set_outside(blueprint, registry):
    document = blueprint[1]
    [outer], [inner] = document["nodes"], document["definitions"]["subgraphs"]
    typed = [one["name"] for one in outer["inputs"] if "widget" in one]
    values = {"text": "a blue fish", "width": 32, "height": 48, "length": 16, "fps": 8.0, "seconds": 2.5}
    outer["widgets_values"] = [values.get(one, one) for one in typed]
    links = []
    for socket in outer["inputs"]:
        if socket["name"] == "video":
            load = {"id": 90, "type": "LoadVideo", "inputs": [], "outputs": [], "widgets_values": ["bouncing_ball.mp4"]}
            document["nodes"].append(load)
            socket["link"] = 90
            links.append([90, 90, 0, outer["id"], outer["inputs"].index(socket), "VIDEO"])
    for place, output in enumerate(outer["outputs"]):
        kind = output["type"]
        sockets = [{"name": kind.lower(), "type": kind, "link": 50 + place}]
        save = {"id": 50 + place, "type": SAVE[kind], "inputs": sockets, "outputs": [], "widgets_values": ["x", "auto"]}
        document["nodes"].append(save if kind == "VIDEO" else {**save, "widgets_values": ["x"]})
        links.append([50 + place, outer["id"], place, 50 + place, 0, kind])
    document["links"] = links
    with active(Session(input_directory=ROOT / "workflows")):
        graph = check(read_workflow(document, registry), registry)
    assert len(graph.nodes) == len(inner["nodes"]) + len(links)
    for place, socket in enumerate(inner["inputs"]):
        for link in (one for one in inner["links"] if one["origin_id"] == -10 and one["origin_slot"] == place):
            node = next(one for one in inner["nodes"] if one["id"] == link["target_id"])
            reached = graph.prompt[f"{outer['id']}:{node['id']}"]["inputs"][node["inputs"][link["target_slot"]]["name"]]
            assert reached == (["90", 0] if socket["name"] == "video" else values.get(socket["name"], socket["name"]))
