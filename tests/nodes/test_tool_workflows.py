"""The workflow files of the tools, run or read whole, and files with old names of nodes."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from moviegen_core.media.movie import read_movie, write_movie
from moviegen_host.graph import check
from moviegen_host.run import Host
from moviegen_host.workflow import read_workflow

ROOT = Path(__file__).parents[2]
TOOLS = {"PlanFrames", "TakeLatentTail", "JoinLatents", "AnchorColour", "JoinClips", "DecodeToVideo"}


def documents() -> list[dict]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "workflows").glob("tools_*.json"))]


def test_every_tool_is_shown_among_stock_nodes():
    shown = set()
    for document in documents():
        ours = {node["type"] for node in document["nodes"] if node["type"].startswith("MovieGen")}
        assert ours <= {f"MovieGen{name}" for name in TOOLS} | {"MovieGenLinearQuadraticSigmas"}
        shown |= ours
    assert shown == {f"MovieGen{name}" for name in TOOLS} | {"MovieGenLinearQuadraticSigmas"}


def test_every_workflow_has_a_thumbnail():
    assert [path.stem for path in (ROOT / "workflows").glob("*.json") if not path.with_suffix(".jpg").is_file()] == []


def test_two_clips_become_one_in_the_colours_of_the_first(tmp_path):
    warm, cold = torch.tensor([0.4, 0.0, -0.4]), torch.tensor([-0.4, 0.0, 0.4])
    noise = 0.3 * torch.randn(3, 12, 32, 48, generator=torch.Generator().manual_seed(0))
    tone = 0.3 * torch.sin(torch.arange(72000) * 0.1).unsqueeze(0)
    write_movie(warm.view(3, 1, 1, 1) + noise, tmp_path / "first.mp4", 8, crf=4)
    write_movie(cold.view(3, 1, 1, 1) + noise, tmp_path / "second.mp4", 8, tone, crf=4)
    host = Host(output=tmp_path / "out", input_directory=tmp_path)
    [film] = host.run(ROOT / "workflows" / "tools_join_clips.json", {"crossfade": 0.5}).written
    movie = read_movie(film)
    assert (movie.num_frames, movie.fps) == (20, 8)
    assert {"workflow", "prompt"} <= set(movie.metadata)
    colours = movie.pixels().mean((2, 3))
    assert (colours[:, 2] - colours[:, -2]).abs().max() < 0.1
    assert movie.waveform[:, 60000:].std() > 0.1


def test_files_of_a_renamed_node_open(part, registry):
    import asyncio

    from moviegen_host import comfy_api

    renames = part("renames")
    rule = {
        "new_node_id": "MovieGenPlanFrames",
        "old_node_id": "MovieGenOldPlan",
        "old_widget_ids": ["duration", "fps"],
        "input_mapping": [
            {"new_id": "seconds", "old_id": "duration"},
            {"new_id": "fps", "old_id": "fps"},
            {"new_id": "family", "set_value": "wan"},
            {"new_id": "rounding", "set_value": "nearest"},
        ],
        "output_mapping": [{"new_idx": 0, "old_idx": 0}],
    }
    asyncio.run(renames.register([*renames.RENAMES, rule]))
    try:
        prompt = {
            "1": {"class_type": "MovieGenOldPlan", "inputs": {"duration": 2.0, "fps": 8.0}},
            "2": {"class_type": "MovieGenEmptyVideoLatent",
                  "inputs": {"width": 32, "height": 32, "length": ["1", 0], "batch_size": 1}},
            "3": {"class_type": "MovieGenTAELoader", "inputs": {"vae_name": "nano (shipped)", "dtype": "auto"}},
            "4": {"class_type": "MovieGenDecodeToVideo",
                  "inputs": {"samples": ["2", 0], "vae": ["3", 0], "fps": 8.0, "crf": 16.0}},
            "5": {"class_type": "SaveVideo",
                  "inputs": {"video": ["4", 0], "filename_prefix": "a", "format": "auto", "codec": "auto"}},
        }  # fmt: skip
        graph = check(read_workflow(prompt, registry), registry)
        assert graph.prompt["1"]["class_type"] == "MovieGenPlanFrames"
        assert graph.prompt["1"]["inputs"]["seconds"] == 2.0
    finally:
        del comfy_api.replacements["MovieGenOldPlan"]


def test_no_node_is_registered_under_an_old_name(part, nodes):
    assert [one["old_node_id"] for one in part("renames").RENAMES if one["old_node_id"] in nodes] == []
