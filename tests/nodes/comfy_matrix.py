"""Runs inside a real ComfyUI (its folder is the working directory): our MODEL under every node that patches models.

usage: comfy_matrix.py PACK WEIGHTS; the last line printed is {"version", "scale", "results": {title: [table,
verdict, figure]}}.
A verdict is "works", "not in this version", "skipped" or "fails". After each case the plain result must come back
bit for bit, and no tensor may have stayed alive.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Python put this script's folder first; ComfyUI's own modules must be found there instead.
sys.path[0] = os.getcwd()
sys.path.append(str(Path(__file__).parent))

import comfy_kit  # noqa: E402 - before anything of ComfyUI
from comfy_kit import SCALE, SEED, STEPS, Kit, call, core, gap  # noqa: E402

# isort: split
import contextlib  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import io  # noqa: E402
import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import comfy.model_management  # noqa: E402
import comfy.samplers  # noqa: E402
import comfyui_version  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy_extras import nodes_model_advanced as advanced  # noqa: E402
from matrix_rows import Missing, Row, Skipped, case, cases, check  # noqa: E402

SAME = 1e-4  # of the result's scale; the other end of what must be seen
MOVED = 1e-3


class Matrix(Kit):
    """The kit with what the cases compare by."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.scale = max(1.0, float(self.expected.std()))
        self.plain = self.advanced()
        folder_paths.add_model_folder_path("loras", str(folder))

    def node(self, module: str, name: str):
        """A stock node's class; Missing where this ComfyUI has none."""
        try:
            return getattr(importlib.import_module(f"comfy_extras.{module}"), name)
        except (ImportError, AttributeError) as error:
            raise Missing from error

    def same(self, samples, expected=None) -> str:
        """Refuse a result that differs from the plain one, or from `expected`."""
        found = gap(samples, self.plain if expected is None else expected)
        check(found <= SAME * self.scale, f"differs by {found:.1e}, must be equal")
        return "equal" if found == 0.0 else f"equal to {found:.0e}"

    def moved(self, samples, expected=None) -> str:
        """Refuse a result that is not finite, or the plain one."""
        check(bool(samples.isfinite().all()), "gives numbers that are not finite")
        found = gap(samples, self.plain if expected is None else expected)
        check(found > MOVED, f"changes nothing (by {found:.1e})")
        return f"moves by {found:.2f}"

    def ksampler(self, model, sampler="euler", scheduler="simple", steps=STEPS):
        return core.KSampler().sample(
            model, SEED, steps, SCALE, sampler, scheduler, self.positive, self.negative, self.latent
        )[0]["samples"]

    def network_runs(self, model) -> tuple[torch.Tensor, int]:
        """Result, and how often the network ran for it; both conditions, together or one by one, are one run."""
        rows: list[int] = []
        block = model.model.diffusion_model.blocks[0]
        handle = block.register_forward_hook(lambda _, given, made: rows.append(len(made)))
        try:
            return self.advanced(model), sum(rows) // 2
        finally:
            handle.remove()

    def with_lora(self, tensors, name: str, strength: float = 1.0):
        """LoraLoaderModelOnly on a file of these tensors."""
        import safetensors.torch

        safetensors.torch.save_file(
            {key: value.contiguous() for key, value in tensors.items()}, self.folder / f"{name}.safetensors"
        )
        folder_paths.filename_list_cache.clear()
        return core.LoraLoaderModelOnly().load_lora_model_only(self.model, f"{name}.safetensors", strength)[0]

    def merged(self, deltas: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the core samples with weights to which `deltas` are added."""
        from moviegen_core.models import loading

        network = loading.load(comfy_kit.WEIGHTS / "video.safetensors").float()
        weights = dict(network.named_parameters())
        with torch.no_grad():
            for key, delta in deltas.items():
                weights[key] += delta
        return self.pipeline(network)


@case("KSampler, every sampler")
def ksampler_samplers(kit: Matrix) -> str:
    """Finite, and what SamplerCustomAdvanced gives."""
    names = comfy.samplers.KSampler.SAMPLERS
    return f"{_agrees(kit, {name: (name, 'simple') for name in names})} samplers"


@case("KSampler, every scheduler")
def ksampler_schedulers(kit: Matrix) -> str:
    """Finite, and what SamplerCustomAdvanced gives."""
    names = comfy.samplers.KSampler.SCHEDULERS
    return f"{_agrees(kit, {name: ('euler', name) for name in names})} schedulers"


def _agrees(kit: Matrix, pairs: dict[str, tuple[str, str]]) -> int:
    """How many (sampler, scheduler) give with KSampler, finitely, what they give with SamplerCustomAdvanced."""
    bad, steps = [], 4
    for name, (sampler, scheduler) in pairs.items():
        samples = kit.ksampler(kit.model, sampler, scheduler, steps)
        if not bool(samples.isfinite().all()):
            bad.append(f"{name} is not finite")
            continue
        # Some samplers get a schedule without its last step but one, which BasicScheduler does not know of.
        sigmas = comfy.samplers.KSampler(kit.model, steps, kit.model.load_device, sampler, scheduler, 1.0).sigmas
        found = gap(samples, kit.advanced(sampler=sampler, sigmas=sigmas))
        if found > SAME * kit.scale:
            bad.append(f"{name} is {found:.1e} from SamplerCustomAdvanced")
    check(not bad, ", ".join(bad))
    return len(pairs)


@case("SamplerCustomAdvanced")
def sampler_custom_advanced(kit: Matrix) -> str:
    return kit.same(kit.plain, kit.sampled())


@case("EasyCache")
def easycache(kit: Matrix) -> str:
    return _cache(kit, kit.node("nodes_easycache", "EasyCacheNode"))


@case("LazyCache")
def lazycache(kit: Matrix) -> str:
    return _cache(kit, kit.node("nodes_easycache", "LazyCacheNode"))


def _cache(kit: Matrix, node) -> str:
    kit.same(kit.advanced(call(node, kit.model, 0.0, 0.0, 1.0, False)))
    samples, runs = kit.network_runs(call(node, kit.model, 2.0, 0.0, 1.0, False))
    check(runs < STEPS, f"saves no step of {STEPS}")
    return f"{kit.moved(samples)}, {runs} of {STEPS} steps"


@case("ContextWindowsManual")
def context_windows(kit: Matrix) -> str:
    """Windows without overlap are clips of their own; one window for all changes nothing."""
    node = kit.node("nodes_context_windows", "ContextWindowsManualNode")
    noise = torch.randn(1, 16, 6, 4, 6, generator=torch.Generator().manual_seed(3))

    def run(model, frames):
        return kit.advanced(
            model, latent={"samples": torch.zeros_like(noise[:, :, frames])}, noise=_Given(noise[:, :, frames])
        )

    def windowed(length, overlap):
        return call(node, kit.model, length, overlap, "standard_static", 1, False, "pyramid", 2, False, "", False)

    whole = run(kit.model, slice(0, 6))
    kit.same(run(windowed(6, 0), slice(0, 6)), whole)
    parts = torch.cat([run(kit.model, slice(0, 3)), run(kit.model, slice(3, 6))], dim=2)
    apart = windowed(3, 0)
    handler = apart.model_options["context_handler"]
    if hasattr(handler, "causal_window_fix"):
        handler.causal_window_fix = False  # it repeats a frame before each later window
    kit.same(run(apart, slice(0, 6)), parts)
    return kit.moved(run(windowed(4, 2), slice(0, 6)), whole)


class _Given:
    """A NOISE of given values."""

    seed = SEED

    def __init__(self, noise) -> None:
        self.noise = noise

    def generate_noise(self, latent):
        return self.noise


@case("NAGuidance")
def nag(kit: Matrix) -> str:
    node = kit.node("nodes_nag", "NAGuidance")
    kit.same(kit.advanced(call(node, kit.model, 5.0, 0.0, 1.5)))
    return kit.moved(kit.advanced(call(node, kit.model, 5.0, 0.5, 1.5)))


@case("APG")
def apg(kit: Matrix) -> str:
    """All of what it projects is plain guidance, to which core adds one."""
    node = kit.node("nodes_apg", "APG")
    kit.same(kit.advanced(call(node, kit.model, 1.0, 0.0, 0.0)), kit.advanced(scale=SCALE + 1.0))
    return kit.moved(kit.advanced(call(node, kit.model, 1.0, 5.0, 0.0)))


@case("CFGZeroStar")
def cfg_zero_star(kit: Matrix) -> str:
    return kit.moved(kit.advanced(call(kit.node("nodes_cfg", "CFGZeroStar"), kit.model)))


@case("CFGNorm")
def cfg_norm(kit: Matrix) -> str:
    return kit.moved(kit.advanced(call(kit.node("nodes_cfg", "CFGNorm"), kit.model, 1.0)))


@case("SkipLayerGuidanceDiT")
def skip_layer_guidance(kit: Matrix) -> str:
    node = kit.node("nodes_slg", "SkipLayerGuidanceDiT")
    kit.same(kit.advanced(call(node, kit.model, 0.0, 0.0, 1.0, "1", "", 0)))
    return kit.moved(kit.advanced(call(node, kit.model, 3.0, 0.0, 1.0, "1", "", 0)))


@case("TCFG")
def tcfg(kit: Matrix) -> str:
    return kit.moved(kit.advanced(call(kit.node("nodes_tcfg", "TCFG"), kit.model)))


@case("RescaleCFG")
def rescale_cfg(kit: Matrix) -> str:
    kit.same(kit.advanced(advanced.RescaleCFG().patch(kit.model, 0.0)[0]))
    return kit.moved(kit.advanced(advanced.RescaleCFG().patch(kit.model, 0.7)[0]))


@case("ModelSamplingSD3")
def model_sampling(kit: Matrix) -> str:
    """A shift moves KSampler's sigmas, not those of our own schedule."""
    shifted = advanced.ModelSamplingSD3().patch(kit.model, 3.0)[0]
    kit.same(kit.advanced(shifted))
    return kit.moved(kit.ksampler(shifted), kit.ksampler(kit.model))


@case("LoraLoaderModelOnly")
def lora(kit: Matrix) -> str:
    """A LoRA of every weight gives what merged weights give, under both spellings of its keys."""
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: weight for name, weight in kit.model.model.diffusion_model.named_parameters() if name.endswith(".weight")
    }
    matrices = {name: weight.shape for name, weight in weights.items() if weight.ndim == 2}
    check(len(matrices) > 20, "the model has hardly any weights")
    deltas, generic, old = {}, {}, {}
    for name, (rows, columns) in matrices.items():
        up = 0.05 * torch.randn(rows, 2, generator=generator)
        down = 0.3 * torch.randn(2, columns, generator=generator)
        layer, deltas[name] = name.removesuffix(".weight"), up @ down
        generic |= {f"diffusion_model.{layer}.lora_A.weight": down, f"diffusion_model.{layer}.lora_B.weight": up}
        spelling = f"lora_unet_{layer.replace('.', '_')}"
        old |= {f"{spelling}.lora_down.weight": down, f"{spelling}.lora_up.weight": up}
        old[f"{spelling}.alpha"] = torch.tensor(2.0)
    merged = kit.merged(deltas)
    for spelling, tensors in (("generic", generic), ("old", old)):
        kit.same(kit.advanced(kit.with_lora(tensors, spelling)), merged)
    kit.same(kit.advanced(kit.with_lora(generic, "generic", 0.0)))
    return f"{len(matrices)} weights, {kit.moved(merged)}"


@case("LoraLoaderModelOnly, file of `moviegen train lora`")
def own_lora(kit: Matrix) -> str:
    """What our trainer learns from the toybox loads whole, and gives what our own loader gives with the file."""
    from moviegen_core.models import adapters, loading
    from moviegen_core.train import run

    settings = {
        "model": comfy_kit.WEIGHTS, "scenes": 2, "shots.frames": 8, "shots.height": 32, "shots.width": 32, "rank": 3,
        "steps": 20, "tokens_per_batch": 16, "learning_rate": 0.02,
    }  # fmt: skip
    told = {name: str(value) for name, value in settings.items()}
    with torch.inference_mode(False), torch.enable_grad(), contextlib.redirect_stderr(io.StringIO()):
        run.run("lora", kit.folder / "run", settings=told, device="cpu", dtype="fp32")
    path = shutil.move(kit.folder / "run" / "lora" / "lora.safetensors", kit.folder / "own.safetensors")
    folder_paths.filename_list_cache.clear()
    patched = core.LoraLoaderModelOnly().load_lora_model_only(kit.model, "own.safetensors", 1.0)[0]
    network = loading.load(comfy_kit.WEIGHTS / "video.safetensors").float()
    changed = adapters.Added(network).add(path)
    check(len(patched.patches) == changed, f"{len(patched.patches)} of {changed} weights are patched")
    expected = kit.pipeline(network)
    kit.same(kit.advanced(patched), expected)
    return f"{changed} weights, {kit.moved(expected)}"


@case("TrainLoraNode, then LoraLoaderModelOnly")
def train_lora(kit: Matrix) -> str:
    """A LoRA that ComfyUI trains on our MODEL loads whole and moves the result."""
    node = kit.node("nodes_train", "TrainLoraNode")
    chosen = {
        "model": kit.model, "latents": {"samples": torch.randn(2, 16, 2, 4, 4)}, "positive": kit.positive,
        "steps": 2, "rank": 2, "learning_rate": 0.01, "training_dtype": "fp32", "lora_dtype": "fp32",
        "existing_lora": "[None]", "seed": 3,
    }  # fmt: skip
    given = {one.id: [chosen.get(one.id, getattr(one, "default", None))] for one in node.GET_SCHEMA().inputs}
    trained, losses, *_ = node.execute(**given).result
    losses = losses["loss"] if isinstance(losses, dict) else losses
    check(len(losses) == 2 and all(loss == loss for loss in losses), f"losses are {losses}")
    layers = {key.rsplit(".", 2)[0] for key in trained if "lora_up" in key}
    patched = kit.with_lora({key: value.detach().clone() for key, value in trained.items()}, "trained", 20.0)
    lost = layers - {key.rsplit(".", 1)[0] for key in patched.patches}
    check(bool(layers) and not lost, f"{len(lost)} of {len(layers)} trained layers do not load: {sorted(lost)[:3]}")
    return f"{len(layers)} layers, {kit.moved(kit.advanced(patched))}"


@case("TorchCompileModel")
def torch_compile(kit: Matrix) -> str:
    node = kit.node("nodes_torch_compile", "TorchCompileModel")
    began = time.monotonic()
    samples = kit.advanced(call(node, kit.model, "inductor"))
    verdict = f"{kit.same(samples)}, compiled in {time.monotonic() - began:.0f} s"
    torch._dynamo.reset()
    return verdict


@case("MultiGPU CFG Split")
def multigpu(kit: Matrix) -> str:
    """With one device nothing changes; a clone for another device, loaded anew, shares the work."""
    node = kit.node("nodes_multigpu", "MultiGPUCFGSplitNode")
    kit.same(kit.advanced(call(node, kit.model, 2)))
    second = torch.device("cpu", 0)
    check(second != kit.model.load_device, "no second device to try")
    model = kit.model.clone()
    clone = model.deepclone_multigpu(new_load_device=second)
    check(clone.model is not model.model, "the clone shares the model")
    clone.is_multigpu_base_clone = True
    model.set_additional_models("multigpu", [clone])
    model.match_multigpu_clones()
    runs: list[int] = []
    handle = clone.model.diffusion_model.blocks[0].register_forward_hook(lambda *given: runs.append(1))
    verdict = kit.same(kit.advanced(model))
    handle.remove()
    check(len(runs) == STEPS, f"the clone ran {len(runs)} times")
    return f"{verdict}, half of the work on the clone"


@case("ModelPatcher.clone with weights of its own")
def deep_clone(kit: Matrix) -> str:
    make, given = kit.model.cached_patcher_init[:2]
    return kit.same(kit.advanced(make(*given, disable_dynamic=True)))


def live_tensors() -> int:
    """Tensors with values of their own that are alive; torch.compile keeps empty ones when its cache is cold."""
    gc.collect()
    kinds = (torch.Tensor, torch.nn.Parameter)
    return sum(type(thing) in kinds and thing.device.type != "meta" and thing.numel() > 0 for thing in gc.get_objects())


def judged(kit: Matrix, row: Row) -> tuple[str, str]:
    """Verdict and figure of one case."""
    before = live_tensors()
    try:
        figure = row.run(kit)
    except Missing:
        return "not in this version", ""
    except Skipped as reason:
        return "skipped", str(reason)
    except Exception as error:
        return "fails", (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    again = torch.equal(kit.advanced(), kit.plain)
    left = live_tensors() - before
    if not again:
        return "fails", "the plain result is another one afterwards"
    return ("fails", f"{left} tensors stay alive") if left > 0 else ("works", figure)


if __name__ == "__main__":
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        kit = Matrix(Path(folder))
        # They read moviegen_core, which the pack publishes when it is loaded.
        import matrix_files  # noqa: F401 - registers its rows
        import matrix_hooks  # noqa: F401

        kit.advanced()
        only = os.environ.get("MATRIX_ONLY", "")
        results = {row.title: [row.table, *judged(kit, row)] for row in cases() if only in row.title}
        scale = float(kit.plain.std())
        comfy_kit.answer({"version": comfyui_version.__version__, "scale": scale, "results": results})
