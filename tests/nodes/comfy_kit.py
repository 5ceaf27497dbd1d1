"""What scripts that run inside a real ComfyUI share: ComfyUI on the CPU, this pack loaded, tiny models, stock nodes.

usage of such a script: SCRIPT.py PACK WEIGHTS, in ComfyUI's folder. Import this before anything of ComfyUI.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

PACK, WEIGHTS = Path(sys.argv[1]), Path(sys.argv[2])
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.memory_management  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from comfy_extras import nodes_custom_sampler as custom  # noqa: E402

import nodes as core  # noqa: E402

STEPS, SCALE, SEED = 8, 4.0, 5
comfy.utils.PROGRESS_BAR_ENABLED = False


def load_pack():
    """The pack as ComfyUI loads it: a module named by its path -> its node classes by id, and its nodes package."""
    name = str(PACK).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    classes = asyncio.run(extension.get_node_list())
    return {node.GET_SCHEMA().node_id: node for node in classes}, sys.modules[f"{name}.nodes"]


def gap(first, second) -> float:
    """Largest difference."""
    return float((first - second).abs().max())


def call(node, *arguments, **options):
    """First result of a stock node of either kind."""
    result = node.execute(*arguments, **options)
    return (result.result if hasattr(result, "result") else result)[0]


def pressed(module, work):
    """How often a module runs when the cancel button is pressed the first time it does."""
    runs = []

    def press(*given):
        runs.append(1)
        comfy.model_management.interrupt_current_processing(True)

    handle = module.register_forward_hook(press)
    try:
        work()
    except comfy.model_management.InterruptProcessingException:
        return len(runs)
    finally:
        handle.remove()
        comfy.model_management.interrupt_current_processing(False)
    return "not interrupted"


@contextlib.contextmanager
def late_layers():
    """ComfyUI as it loads models where it manages VRAM dynamically: layers hold nothing until their weights come."""
    memory, manage = comfy.memory_management, comfy.model_management
    was, system = memory.aimdo_enabled, manage.WINDOWS
    memory.aimdo_enabled = manage.WINDOWS = True  # older ComfyUIs have such layers on Windows only
    try:
        yield
    finally:
        memory.aimdo_enabled, manage.WINDOWS = was, system


def held_context(network, work) -> int:
    """Most bytes of keys and values that a network prepares at once while `work` is done."""
    prepare, held = network.prepare, []

    def watched(*given, **named):
        context = prepare(*given, **named)
        held.append(sum(part.nbytes for part in (*context.keys, *context.values)))
        return context

    network.prepare = watched
    try:
        work()
    finally:
        del network.prepare
    return max(held)


def answer(values: dict[str, Any]) -> None:
    """Print the result as the last line."""
    sys.stdout.write("\n" + json.dumps(values) + "\n")


class Kit:
    """Our models on ComfyUI's sockets, a prompt, a latent, a schedule, and what the core samples from them."""

    def __init__(self) -> None:
        logging.getLogger().setLevel(logging.ERROR)
        torch.manual_seed(0)
        self.nodes, package = load_pack()
        self.host = package.runtime.host
        self.convert = package.convert
        roles = ("ul2", "metaclip", "byt5")
        self.clip = self.host.load_clip({role: WEIGHTS / f"{role}.safetensors" for role in roles})
        self.model = self.host.load_model(WEIGHTS / "video.safetensors", "auto")
        self.vae = self.host.load_vae(WEIGHTS / "tae.safetensors", "auto")
        self.positive = core.CLIPTextEncode().encode(self.clip, 'a red ball bounces "HI"')[0]
        self.negative = core.CLIPTextEncode().encode(self.clip, "")[0]
        self.latent = self.ours("MovieGenEmptyVideoLatent", 48, 32, 20)
        self.sigmas = self.ours("MovieGenLinearQuadraticSigmas", STEPS, 1000)
        self.expected = self.pipeline()

    def ours(self, name: str, *arguments, **options):
        return self.nodes[name].execute(*arguments, **options).result[0]

    def pipeline(self, network=None, conditioning=None, **options):
        """What moviegen_core samples on its own."""
        from moviegen_core.models import loading
        from moviegen_core.pipelines.sample import sample_video
        from moviegen_core.shapes import clip_latent

        network = network or loading.load(WEIGHTS / "video.safetensors").float()
        packed = self.positive[0][0] if conditioning is None else conditioning
        given = self.convert.unpack(packed, network.config.context_dims)
        options = {"seed": SEED, "steps": STEPS, "guidance_scale": SCALE, **options}
        return sample_video(network, given, clip_latent(20, 32, 48), **options)

    def sampled(self, model=None, **options) -> torch.Tensor:
        given = {"positive": self.positive, "latent": self.latent, "seed": SEED, "steps": STEPS, "cfg": SCALE}
        given["temperature"] = 1.0
        return self.ours("MovieGenVideoSampler", model=model or self.model, **{**given, **options})["samples"]

    def advanced(
        self, model=None, sampler="euler", sigmas=None, negative=None, latent=None, noise=None, scale=SCALE
    ) -> torch.Tensor:
        """RandomNoise, CFGGuider, KSamplerSelect and SamplerCustomAdvanced."""
        return call(
            custom.SamplerCustomAdvanced,
            noise or call(custom.RandomNoise, SEED),
            call(custom.CFGGuider, model or self.model, self.positive, negative or self.negative, scale),
            call(custom.KSamplerSelect, sampler),
            (self.sigmas if sigmas is None else sigmas).clone(),  # uni_pc writes into what it is given
            latent or self.latent,
        )["samples"]
