"""Gives every node of the workflows room for what it shows: python scripts/arrange.py [FILE ...]

Editors let a node grow where its widgets, preview or player need more than the file says; it then covers what is
below. Nodes are pushed down, never up or sideways, and groups are drawn around theirs again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Pixels. Nodes 2.0 adds a badge and a line for advanced inputs below the widgets: the larger EDGE is for them.
TITLE, SLOT, WIDGET, EDGE = 30, 20, 24, 54
TEXT, PICTURE, FILM, PLAYER = 76, 230, 280, 60
EXTRA = {
    "LoadVideo": FILM + WIDGET,
    "SaveVideo": FILM,
    "LoadAudio": PLAYER + WIDGET,
    "SaveAudio": PLAYER,
    "PreviewAudio": PLAYER,
    "SaveImage": PICTURE,
    "MovieGenVideoSampler": PICTURE + 40,  # and a line of progress
    "MovieGenSoundSampler": PICTURE + 90,
    "MovieGenSoundDecode": PLAYER,
    "SamplerCustomAdvanced": PICTURE,
}
TEXTS = {"MovieGenTextEncode": 1, "CLIPTextEncode": 1, "MovieGenVideoToSound": 2}  # fields of several lines
GAP, MARGIN, HEAD = 30, 20, 80  # between nodes; of a group around its nodes; above them


def room(node: dict[str, Any]) -> int:
    """Least height of a node: sockets, widgets, and the film, picture or player that it shows after a run."""
    widgets = [one for one in node["inputs"] if "widget" in one]
    sockets = max(len(node["inputs"]) - len(widgets), len(node["outputs"]))
    lines = max(len(widgets), len(node.get("widgets_values") or []))
    height = SLOT * sockets + WIDGET * lines + EDGE + TEXT * TEXTS.get(node["type"], 0) + EXTRA.get(node["type"], 0)
    return 10 * math.ceil(height / 10)


def arrange(document: dict[str, Any]) -> None:
    """Changes sizes, places and groups in a workflow (UI format)."""
    members = {id(group): [node for node in document["nodes"] if _inside(node, group)] for group in document["groups"]}
    group_of = {node["id"]: id(group) for group in document["groups"] for node in members[id(group)]}
    columns: dict[int, list[dict[str, Any]]] = {}
    for node in sorted(document["nodes"], key=lambda one: one["pos"][1]):
        if node["type"] != "MarkdownNote":
            node["size"][1] = max(node["size"][1], room(node))
        columns.setdefault(node["pos"][0], []).append(node)
    for nodes in columns.values():
        for above, below in pairwise(nodes):
            gap = GAP + TITLE
            if group_of.get(above["id"]) != group_of.get(below["id"]):
                gap = MARGIN + HEAD + GAP // 3
            below["pos"][1] = max(below["pos"][1], above["pos"][1] + above["size"][1] + gap)
    for group in document["groups"]:
        group["bounding"] = _around(members[id(group)])


def _inside(node: dict[str, Any], group: dict[str, Any]) -> bool:
    left, top, width, height = group["bounding"]
    x, y = node["pos"]
    return bool(left <= x < left + width and top <= y < top + height)


def _around(nodes: list[dict[str, Any]]) -> list[int]:
    left, top = (min(node["pos"][axis] for node in nodes) for axis in (0, 1))
    right, bottom = (max(node["pos"][axis] + node["size"][axis] for node in nodes) for axis in (0, 1))
    return [left - MARGIN, top - HEAD, right - left + 2 * MARGIN, bottom - top + HEAD + MARGIN]


def main(argv: Sequence[str] | None = None) -> None:
    """The named files, by default all workflows."""
    names = list(sys.argv[1:] if argv is None else argv)
    for path in [Path(name) for name in names] or sorted((ROOT / "workflows").glob("*.json")):
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        arrange(document)
        fresh = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        if fresh != text:
            path.write_text(fresh, encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
