"""What a real ComfyUI shows of the pack once it is up. Run with `pytest -m comfy`."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

SECONDS = 0.5  # what importing the pack may cost


def test_pack_loads_without_a_warning(server):
    lines = server.log.read_text().split("To see the GUI go to")[0].splitlines()
    loaded = [line for line in lines if "seconds" in line and "ComfyUI-MovieGen" in line]
    assert len(loaded) == 1
    assert "FAILED" not in loaded[0]
    assert float(re.search(r"([\d.]+) seconds", loaded[0])[1]) < SECONDS
    words = ("moviegen", "movie gen")
    assert [line for line in lines if any(word in line.lower() for word in words) and line not in loaded] == []


def test_every_input_and_output_is_explained(info):
    ours = {name: node for name, node in info.items() if node["python_module"] == "custom_nodes.ComfyUI-MovieGen"}
    assert len(ours) >= 20
    for name, node in ours.items():
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        assert all(options[1].get("tooltip") for options in inputs.values()), name
        assert all(node["output_tooltips"]), name
        assert node["description"], name
        assert node["search_aliases"], name


def test_users_files_stand_beside_the_shipped_ones(info):
    combo = info["MovieGenModelLoader"]["input"]["required"]["model_name"]
    assert {"nano (shipped)", "tiny_video.safetensors"} <= set(combo[1].get("options") or combo[0])


def test_help_pages_are_served(server):
    with urllib.request.urlopen(f"{server.url}/extensions/ComfyUI-MovieGen/docs/MovieGenVideoSampler.md") as answer:
        assert answer.read().decode().startswith("# Video Sampler")


def test_texts_in_every_language_and_the_blueprints_are_served(server):
    texts = server.ask("/i18n")
    for language in ("en", "zh", "ja", "fr", "de", "es"):
        assert texts[language]["nodeDefs"]["MovieGenVideoSampler"]["inputs"]["cfg"]["tooltip"]
    files = {path.stem for path in (Path(__file__).parents[2] / "subgraphs").glob("*.json")}
    served = [one["name"] for one in server.ask("/global_subgraphs").values()]
    assert len(files) >= 4
    assert [served.count(name) for name in files] == [1] * len(files)


def test_graph_with_an_old_name_of_a_node_runs(server):
    [rule] = server.ask("/node_replacements")["MovieGenOldPlan"]
    assert (rule["new_node_id"], rule["old_widget_ids"]) == ("MovieGenPlanFrames", ["duration", "fps"])
    prompt = {
        "1": {"class_type": "MovieGenOldPlan", "inputs": {"duration": 2.0, "fps": 16.0}, "_meta": {}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    entry = server.finished(server.queue(prompt))
    assert entry["outputs"]["2"]["text"] == ["33"]  # Wan takes 4 n + 1 frames
