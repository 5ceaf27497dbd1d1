"""ComfyUI's real server for tests: its folder is $COMFYUI_DIR, its Python $COMFYUI_PYTHON."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMFYUI = os.environ.get("COMFYUI_DIR", "")
PYTHON = os.environ.get("COMFYUI_PYTHON", sys.executable)
FOLDERS = {"video": "diffusion_models", "tae": "vae", "ul2": "text_encoders"}
FOLDERS |= {"metaclip": "text_encoders", "byt5": "text_encoders"}
CONTROL = {"fixed", "increment", "decrement", "randomize"}

# A pack that is loaded after ours and renames one of our nodes the way nodes/renames.py does it.
RENAMES = """
import sys
from comfy_api.latest import ComfyExtension

RULE = {
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

class Renames(ComfyExtension):
    async def on_load(self):
        [renames] = [module for name, module in sys.modules.items() if name.endswith("MovieGen.nodes.renames")]
        await renames.register([RULE])

    async def get_node_list(self):
        return []

async def comfy_entrypoint():
    return Renames()
"""

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(not COMFYUI, reason="needs a ComfyUI folder in $COMFYUI_DIR")]


def measure(script: str, weights: Path) -> dict[str, Any]:
    """What a script beside this file measures inside ComfyUI with the models of a folder."""
    command = [PYTHON, str(Path(__file__).with_name(script)), str(ROOT), str(weights)]
    result = subprocess.run(command, cwd=COMFYUI, capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


class Server:
    """ComfyUI's server on an empty base folder that holds only this pack and tiny weights."""

    def __init__(self, base: Path, weights: dict[str, str]) -> None:
        self.base = base
        for part, folder in FOLDERS.items():
            target = base / "models" / folder / f"tiny_{part}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(weights[part])
        (base / "custom_nodes").mkdir()
        (base / "custom_nodes" / "ComfyUI-MovieGen").symlink_to(ROOT)
        # Packs load in the order of their folders' list, which no name can set; those of other lists load later.
        later, config = base / "later" / "renames", base / "paths.yaml"
        later.mkdir(parents=True)
        (later / "__init__.py").write_text(RENAMES, encoding="utf-8")
        config.write_text(json.dumps({"later": {"custom_nodes": str(later.parent)}}), encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = base / "log.txt"
        command = [PYTHON, "main.py", "--cpu", "--base-directory", str(base), "--port", str(port)]
        command += ["--disable-api-nodes", "--preview-method", "latent2rgb", "--extra-model-paths-config", str(config)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT)

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or POST of a JSON body -> parsed answer; a refusal's body too."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            text = refusal.read()
        return json.loads(text) if text else None

    def wait_until_up(self) -> None:
        for _ in range(2000):
            try:
                self.ask("/system_stats")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                time.sleep(0.3)
        raise AssertionError(self.log.read_text()[-3000:])

    def queue(self, prompt: dict[str, Any], workflow: Any = None) -> str:
        """Queue a prompt -> its id; every node must pass validation."""
        answer = self.ask("/prompt", {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": workflow}}})
        assert not answer.get("error"), answer
        assert not answer.get("node_errors"), answer
        return answer["prompt_id"]

    def finished(self, prompt_id: str, seconds: float = 120) -> dict[str, Any]:
        """The history entry, once there is one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            history = self.ask(f"/history/{prompt_id}")
            if history:
                return history[prompt_id]
            time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-3000:])

    def run(self, prompt: dict[str, Any], workflow: Any = None) -> list[Path]:
        """Run to the end -> written files."""
        entry = self.finished(self.queue(prompt, workflow))
        assert entry["status"]["status_str"] == "success", entry["status"]
        outputs = (one for node in entry["outputs"].values() for one in node.get("images", []))
        return [self.base / "output" / one["subfolder"] / one["filename"] for one in outputs if one["type"] == "output"]


def api_prompt(
    document: dict[str, Any], info: dict[str, Any], *, shipped: bool = False, **settings: Any
) -> dict[str, Any]:
    """UI format -> API format, as the frontend does it; the models become the tiny ones unless `shipped`."""
    links = {link[0]: [str(link[1]), link[2]] for link in document["links"]}
    prompt = {}
    for node in document["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        declared = {**info[node["type"]]["input"]["required"], **info[node["type"]]["input"].get("optional", {})}
        values, inputs = list(node.get("widgets_values") or []), {}
        for name, spec in declared.items():
            is_widget = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            if (is_widget or spec[0].startswith("COMFY_DYNAMICCOMBO")) and values:
                inputs[name] = values.pop(0)
                if inputs[name] == "nano (shipped)" and not shipped:
                    part = {"model_name": "video", "vae_name": "tae"}.get(name, name)
                    inputs[name] = f"tiny_{part}.safetensors"
                if values and values[0] in CONTROL:
                    values.pop(0)
        inputs |= {one["name"]: links[one["link"]] for one in node["inputs"] if one.get("link") is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for name, value in settings.items():
        node_id, widget = document["extra"]["moviegen"]["settings"][name]
        prompt[str(node_id)]["inputs"][widget] = value
    return prompt


def workflow(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def saved_sounds(server: Server, prompt: dict[str, Any]) -> list[Path]:
    entry = server.finished(server.queue(prompt))
    assert entry["status"]["status_str"] == "success", entry["status"]
    outputs = (one for node in entry["outputs"].values() for one in node.get("audio", []))
    return [server.base / "output" / one["subfolder"] / one["filename"] for one in outputs if one["type"] == "output"]


def call(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
