"""Cuts the blueprints in subgraphs/ out of the workflows: python scripts/blueprints.py

A blueprint is one node that holds the loaders, samplers and decoders of a workflow, ready to be put into any graph.
What a user sets stands on its outside; what a file brings or takes is its socket.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "subgraphs"
INPUTS, OUTPUTS = -10, -20  # ids of a subgraph's own sockets
LEFT_OUT = ("MarkdownNote", "LoadVideo", "SaveVideo", "SaveAudio")
SPACE, ROW = 160, 20  # pixels beside the nodes; between two sockets


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What becomes of one workflow. Inputs are name -> the (node type, input) that read it."""

    workflow: str
    category: str
    description: str
    inputs: dict[str, list[tuple[str, str]]]
    shown: list[tuple[str, str]] = field(default_factory=list)  # further widgets on the outside: (node type, widget)
    outputs: dict[str, str]  # name -> node type, whose first output it is


SOUND_WORDS = {"sound": [("MovieGenVideoToSound", "text")], "music": [("MovieGenVideoToSound", "music")]}
VIDEO_WORDS = {
    "text": [("MovieGenTextEncode", "text")],
    "width": [("MovieGenEmptyVideoLatent", "width")],
    "height": [("MovieGenEmptyVideoLatent", "height")],
    "length": [("MovieGenEmptyVideoLatent", "length")],
}
SEED = ("seed", "control_after_generate", "steps", "cfg")
CUTS = {
    "Text to Video (Movie Gen)": Cut(
        workflow="text_to_video",
        category="Video generation and editing/Text to video",
        description="Makes a video from a prompt with the Movie Gen models that ship with this pack.",
        inputs={**VIDEO_WORDS, "fps": [("MovieGenTextEncode", "fps"), ("CreateVideo", "fps")]},
        shown=[("MovieGenVideoSampler", name) for name in SEED],
        outputs={"VIDEO": "CreateVideo"},
    ),
    "Text to Movie with Sound (Movie Gen)": Cut(
        workflow="text_to_movie",
        category="Video generation and editing/Text to video",
        description="Makes a video from a prompt, and its sound from what it shows, with the models of this pack.",
        inputs={
            **VIDEO_WORDS,
            **SOUND_WORDS,
            "fps": [("MovieGenTextEncode", "fps"), ("MovieGenVideoToSound", "fps"), ("CreateVideo", "fps")],
        },
        shown=[("MovieGenVideoSampler", name) for name in SEED],
        outputs={"VIDEO": "CreateVideo"},
    ),
    "Sound for Video (Movie Gen)": Cut(
        workflow="sound_for_any_video",
        category="Audio/Video to audio",
        description="Makes a sound of exactly a video's length from what it shows; its pictures stay as they are.",
        inputs={"video": [("MovieGenVideoToSound", "video"), ("MovieGenSetVideoAudio", "video")], **SOUND_WORDS},
        shown=[("MovieGenSoundSampler", name) for name in (*SEED, "candidates")],
        outputs={"VIDEO": "MovieGenSetVideoAudio", "AUDIO": "MovieGenSoundDecode"},
    ),
    "Text to Sound (Movie Gen)": Cut(
        workflow="text_to_sound",
        category="Audio/Text to audio",
        description="Makes a sound of any length from words, with the models of this pack.",
        inputs={**SOUND_WORDS, "seconds": [("MovieGenVideoToSound", "seconds")]},
        shown=[("MovieGenSoundSampler", name) for name in SEED],
        outputs={"AUDIO": "MovieGenSoundDecode"},
    ),
}


def blueprint(name: str, cut: Cut) -> dict[str, Any]:
    """The file's content: one node, and the subgraph that it is."""
    workflow = json.loads((ROOT / "workflows" / f"{cut.workflow}.json").read_text(encoding="utf-8"))
    inner = _Inner(name, cut, workflow)
    outer_id = max(inner.nodes) + 1
    outer = {
        "id": outer_id,
        "type": inner.id,
        "pos": [100, 100],
        "size": [400, 60 + 30 * (len(cut.inputs) + len(cut.shown)) + 80 * ("text" in cut.inputs)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [_socket(one, inner.widget(one), None) for one in inner.inputs],
        "outputs": [{"name": one["name"], "type": one["type"], "links": []} for one in inner.outputs],
        "properties": {"proxyWidgets": inner.promoted(), "cnr_id": "moviegen-video-audio", "ver": "0.1.0"},
        "widgets_values": [],
        "title": name,
    }
    return {
        "revision": 0,
        "last_node_id": outer_id,
        "last_link_id": 0,
        "nodes": [outer],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [inner.definition(outer_id)]},
        "extra": {},
    }


class _Inner:
    """The subgraph of one blueprint."""

    def __init__(self, name: str, cut: Cut, workflow: dict[str, Any]) -> None:
        self.name, self.cut, self.id = name, cut, _id(name)
        self.nodes = {node["id"]: node for node in workflow["nodes"] if node["type"] not in LEFT_OUT}
        for node in self.nodes.values():  # a second press makes another version: nobody sees the seeds inside
            node["widgets_values"] = ["randomize" if one == "fixed" else one for one in node["widgets_values"] or []]
        self.by_type = {node["type"]: node for node in self.nodes.values()}
        self.groups = workflow["groups"]
        self.links: list[dict[str, Any]] = []
        for node in self.nodes.values():
            for one in [*node["inputs"], *node["outputs"]]:
                one |= {"links": []} if "links" in one else {"link": None}
        for _, origin, slot, target, place, kind in workflow["links"]:
            if origin in self.nodes and target in self.nodes:
                self._link(origin, slot, target, place, kind)
        left, top = (min(node["pos"][axis] for node in self.nodes.values()) for axis in (0, 1))
        right = max(node["pos"][0] + node["size"][0] for node in self.nodes.values())
        self.places = {INPUTS: [left - SPACE - 120, top], OUTPUTS: [right + SPACE, top]}
        self.inputs = [self._input(index, *one) for index, one in enumerate(cut.inputs.items())]
        self.outputs = [self._output(index, *one) for index, one in enumerate(cut.outputs.items())]

    def widget(self, one: dict[str, Any]) -> bool:
        """Whether a socket of the subgraph stands for a widget."""
        kind, name = self.cut.inputs[one["name"]][0]
        return "widget" in _named(self.by_type[kind]["inputs"], name)[1]

    def promoted(self) -> list[list[str]]:
        """[node id, widget] of everything that can be set on the outside."""
        first = [self.cut.inputs[one["name"]][0] for one in self.inputs if self.widget(one)]
        return [[str(self.by_type[kind]["id"]), name] for kind, name in [*first, *self.cut.shown]]

    def definition(self, last_node: int) -> dict[str, Any]:
        """As the editor keeps it."""
        sizes = {INPUTS: len(self.inputs), OUTPUTS: len(self.outputs)}
        bounds = {
            one: {"id": one, "bounding": [*self.places[one], 120, 40 + ROW * count]} for one, count in sizes.items()
        }
        state = {"lastGroupId": len(self.groups), "lastNodeId": last_node, "lastLinkId": len(self.links)}
        return {
            "id": self.id,
            "version": 1,
            "state": {**state, "lastRerouteId": 0},
            "revision": 0,
            "config": {},
            "name": self.name,
            "inputNode": bounds[INPUTS],
            "outputNode": bounds[OUTPUTS],
            "inputs": self.inputs,
            "outputs": self.outputs,
            "widgets": [],
            "nodes": list(self.nodes.values()),
            "groups": self.groups,
            "links": self.links,
            "extra": {},
            "category": self.cut.category,
            "description": self.cut.description,
        }

    def _link(self, origin: int, slot: int, target: int, place: int, kind: str) -> int:
        number = len(self.links) + 1
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        self.links.append(dict(zip(keys, (number, origin, slot, target, place, kind), strict=True)))
        if origin in self.nodes:
            self.nodes[origin]["outputs"][slot]["links"].append(number)
        if target in self.nodes:
            self.nodes[target]["inputs"][place]["link"] = number
        return number

    def _input(self, index: int, name: str, readers: list[tuple[str, str]]) -> dict[str, Any]:
        links = []
        for kind, wanted in readers:
            node = self.by_type[kind]
            place, socket = _named(node["inputs"], wanted)
            links.append(self._link(INPUTS, index, node["id"], place, socket["type"]))
        return self._boundary(INPUTS, index, name, socket["type"], links)

    def _output(self, index: int, name: str, kind: str) -> dict[str, Any]:
        node = self.by_type[kind]
        given = node["outputs"][0]["type"]
        return self._boundary(OUTPUTS, index, name, given, [self._link(node["id"], 0, OUTPUTS, index, given)])

    def _boundary(self, side: int, index: int, name: str, kind: str, links: list[int]) -> dict[str, Any]:
        x, y = self.places[side]
        place = [x + (120 if side == INPUTS else 20), y + ROW * (index + 1)]
        return {"id": _id(f"{self.name}/{side}/{name}"), "name": name, "type": kind, "linkIds": links, "pos": place}


def _socket(one: dict[str, Any], widget: bool, link: int | None) -> dict[str, Any]:
    held = {"widget": {"name": one["name"]}} if widget else {}
    return {"name": one["name"], "type": one["type"], **held, "link": link}


def _named(sockets: list[dict[str, Any]], name: str) -> tuple[int, dict[str, Any]]:
    return next((place, one) for place, one in enumerate(sockets) if one["name"] == name)


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"moviegen-video-audio/{name}"))


def main() -> None:
    """Write every blueprint."""
    for name, cut in CUTS.items():
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(blueprint(name, cut), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
