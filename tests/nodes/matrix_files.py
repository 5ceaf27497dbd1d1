"""Rows of the compatibility matrix about weight files: types, shards, scales and other quantised forms."""

from __future__ import annotations

import json
from pathlib import Path

import comfy.quant_ops
import comfy_kit
import folder_paths
import torch
from matrix_rows import Missing, Skipped, case, check

from moviegen_core.models import loading

NEAR = 0.1  # of the result's scale: what computing in a narrow type may cost
FP8 = torch.float8_e4m3fn
TABLE = "files"
ROTATED = ("convrot_w4a4", "asym_w4a8_int8")


def _network():
    return loading.load(comfy_kit.WEIGHTS / "video.safetensors").float()


def _metadata() -> dict[str, str]:
    return dict(loading.read_header(comfy_kit.WEIGHTS / "video.safetensors").metadata)


def _tensors() -> dict[str, torch.Tensor]:
    return dict(_network().state_dict())


def _layers(multiple: int) -> list[str]:
    """Linear layers of the blocks whose sides are multiples."""
    return [
        name for name, layer in _network().named_modules()
        if isinstance(layer, torch.nn.Linear) and name.startswith("blocks.")
        and not (layer.in_features % multiple or layer.out_features % multiple)
    ]  # fmt: skip


def _judge(kit, path: Path, expected_weights: dict[str, torch.Tensor], dtype: str = "auto") -> str:
    """The MODEL of a file gives what the core gives with the values that the file holds."""
    network = _network()
    network.load_state_dict({key: value.float() for key, value in expected_weights.items()})
    expected, samples = kit.pipeline(network), kit.advanced(kit.host.load_model(path, dtype))
    check(bool(samples.isfinite().all()), "gives numbers that are not finite")
    found, meant = comfy_kit.gap(samples, expected), comfy_kit.gap(expected, kit.plain)
    check(found <= NEAR * kit.scale, f"differs by {found:.2f} from what its values give")
    return f"within {found:.0e} of its values" + (f", which are {meant:.2f} from fp32" if meant > 5e-3 else "")


@case("one file, fp16", table=TABLE)
def fp16(kit) -> str:
    tensors = {key: value.half() for key, value in _tensors().items()}
    return _judge(kit, loading.write_tensors(tensors, kit.folder / "half.safetensors", _metadata()), tensors)


@case("one file, bf16", table=TABLE)
def bf16(kit) -> str:
    tensors = {key: value.bfloat16() for key, value in _tensors().items()}
    return _judge(kit, loading.write_tensors(tensors, kit.folder / "bf16.safetensors", _metadata()), tensors)


@case("keys of ComfyUI's savers (model.diffusion_model.)", table=TABLE)
def prefixed(kit) -> str:
    tensors = _tensors()
    named = {f"model.diffusion_model.{key}": value for key, value in tensors.items()}
    return _judge(kit, loading.write_tensors(named, kit.folder / "named.safetensors", _metadata()), tensors)


@case("shards with an index, from the loader's list", table=TABLE)
def sharded(kit) -> str:
    tensors, metadata, folder = _tensors(), _metadata(), kit.folder / "sharded"
    half, where = len(tensors) // 2, {}
    for number, keys in enumerate((list(tensors)[:half], list(tensors)[half:]), 1):
        name = f"movie-{number:05}-of-00002.safetensors"
        loading.write_tensors({key: tensors[key] for key in keys}, folder / name, metadata)
        where |= dict.fromkeys(keys, name)
    (folder / "movie.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    folder_paths.add_model_folder_path("diffusion_models", str(folder))
    folder_paths.filename_list_cache.clear()
    offered = [one for one in kit.host.choices("video") if one.startswith("movie-")]
    check(offered == ["movie-00001-of-00002.safetensors"], f"the list offers {offered}")
    return kit.same(kit.advanced(kit.ours("MovieGenModelLoader", offered[0], "auto")))


@case("fp8_e4m3fn without scales", table=TABLE)
def fp8(kit) -> str:
    tensors = {key: value.to(FP8) for key, value in _tensors().items()}
    return _judge(kit, loading.write_tensors(tensors, kit.folder / "fp8.safetensors", _metadata()), tensors)


@case("fp8_e4m3fn chosen in the loader", table=TABLE)
def fp8_chosen(kit) -> str:
    tensors = {key: value.to(FP8) for key, value in _tensors().items()}
    return _judge(kit, comfy_kit.WEIGHTS / "video.safetensors", tensors, "fp8_e4m3fn")


@case("fp8 with scales, older layout (scaled_fp8)", table=TABLE)
def scaled_fp8(kit) -> str:
    tensors, given, meant = _tensors(), {}, {}
    for key, value in tensors.items():
        layer = key.removesuffix(".weight")
        if layer in _layers(1):
            scale = value.abs().max() / 448.0
            given |= {key: (value / scale).to(FP8), f"{layer}.scale_weight": scale.float()}
            meant[key] = given[key].float() * scale
        else:
            given[key] = meant[key] = value
    given["scaled_fp8"] = torch.zeros(2, dtype=FP8)  # two numbers: products in full precision
    return _judge(kit, loading.write_tensors(given, kit.folder / "scaled.safetensors", _metadata()), meant)


def _quantised(kit, form: str) -> str:
    algorithms = comfy.quant_ops.QUANT_ALGOS
    if form not in algorithms:
        raise Missing
    if form in ROTATED:
        raise Skipped("its groups of 256 are wider than the tiny network's layers")
    layout, given, meant = algorithms[form]["comfy_tensor_layout"], {}, _tensors()
    layers = _layers(16)
    for layer in layers:
        packed = comfy.quant_ops.QuantizedTensor.from_float(meant.pop(f"{layer}.weight"), layout)
        marker = json.dumps({"format": form, "full_precision_matrix_mult": True}).encode()
        given |= {key: value.contiguous() for key, value in packed.state_dict(f"{layer}.weight").items()}
        given[f"{layer}.comfy_quant"] = torch.tensor(list(marker), dtype=torch.uint8)
        meant[f"{layer}.weight"] = packed.dequantize()
    given |= {key: value for key, value in meant.items() if key.removesuffix(".weight") not in layers}
    path = loading.write_tensors(given, kit.folder / f"{form}.safetensors", _metadata())
    return f"{len(layers)} layers, {_judge(kit, path, meant)}"


for _form in ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise", "mxfp8", "nvfp4", "convrot_w4a4", "asym_w4a8_int8"):
    case(f"ComfyUI's {_form}", table=TABLE)(lambda kit, form=_form: _quantised(kit, form))


@case("LoRA on fp8 with scales", table=TABLE)
def lora_on_fp8(kit) -> str:
    """The adapted weight moves the result as far as on plain weights, within what fp8 rounds."""
    key = "diffusion_model.blocks.1.mlp.down"
    generator = torch.Generator().manual_seed(4)
    down, up = torch.randn(2, 48, generator=generator), torch.randn(32, 2, generator=generator)
    lora = {f"{key}.lora_A.weight": 0.3 * down, f"{key}.lora_B.weight": 0.3 * up}
    scaled_fp8(kit)
    path, merged = kit.folder / "scaled.safetensors", kit.merged({"blocks.1.mlp.down.weight": 0.09 * up @ down})
    plain = kit.model
    try:
        kit.model = kit.host.load_model(path, "auto")
        samples = kit.advanced(kit.with_lora(lora, "on_fp8"))
    finally:
        kit.model = plain
    found = comfy_kit.gap(samples, merged)
    check(found < 0.5 * comfy_kit.gap(merged, kit.plain), f"is {found:.2f} from the merged weights")
    return f"within {found:.2f} of merged fp32 weights, {kit.moved(samples)}"
