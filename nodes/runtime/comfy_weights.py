"""Weight files as ComfyUI's layers take them: whole or sharded, in any float type, fp8 with scales, other quants.

A quantised file holds, beside each quantised weight, what ComfyUI needs to read it ("LAYER.comfy_quant" names the
format, "LAYER.weight_scale" and the like the scales), or the older "LAYER.scale_weight" with one "scaled_fp8". Such
a weight may be packed, so its shape is ComfyUI's business; everything else is checked as in any other file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from torch import Tensor

from moviegen_core.config import from_dict
from moviegen_core.errors import CheckpointError
from moviegen_core.models import catalog, loading
from moviegen_core.ops.memory import keep_large_buffers
from moviegen_core.pipelines.parts import recommended

DTYPES = {
    "auto": None,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}
FORMAT_KEY = ".comfy_quant"
SAMPLING_KEY = "moviegen_sampling"  # of a MODEL: what its file recommends
OLD_KEYS = ("scaled_fp8", ".scale_weight", ".scale_input")


def prepare_device(device: torch.device) -> None:
    """Called by whoever loads a network that will work on `device`."""
    # ComfyUI leaves the C allocator as it is; its page faults would be a tenth of a film's time.
    if comfy.model_management.is_device_cpu(device):
        keep_large_buffers()


def build_patcher(path: str, dtype: str, network: str, describe: Callable[[Any], Any], disable_dynamic: bool) -> Any:
    """File of a `network` of the catalog -> a model patcher; `describe` makes ComfyUI's config of the file's own."""
    manage = comfy.model_management
    header = loading.read_header(path)
    if is_quantised(header):
        weights = read_quantised(header, network)
    else:
        weights = loading.load(path, network=network).state_dict()
    config = describe(header.config)
    config.quant_config = comfy.utils.detect_layer_quantization(weights, "")
    device = manage.get_torch_device()
    prepare_device(device)
    stored = DTYPES[dtype] or manage.unet_dtype(
        device=device,
        model_params=comfy.utils.calculate_parameters(weights),
        supported_dtypes=list(config.supported_inference_dtypes),
        weight_dtype=None if config.quant_config else comfy.utils.weight_dtype(weights),
    )
    cast = manage.unet_manual_cast(None if config.quant_config else stored, device, config.supported_inference_dtypes)
    config.set_inference_dtype(stored, cast)
    offload = manage.unet_offload_device()
    model = config.get_model(weights)
    # Looked up now: main.py replaces the class when it manages VRAM dynamically.
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=device, offload_device=offload)
    if not manage.is_device_cpu(offload):
        model.to(offload)
    model.load_model_weights(weights, "", assign=patcher.is_dynamic())
    patcher.set_attachments(SAMPLING_KEY, recommended(Path(path)))
    return patcher


def is_quantised(header: loading.Header) -> bool:
    """True where weights come with scales."""
    return "_quantization_metadata" in header.metadata or any(
        key.endswith((FORMAT_KEY, *OLD_KEYS)) for key in header.keys
    )


def read_quantised(header: loading.Header, network: str) -> dict[str, Tensor]:
    """Tensors of a quantised file by our keys, in ComfyUI's present layout; CheckpointError where it does not fit."""
    if header.network != network:
        held = f"the network {header.network!r}" if header.network else "no Movie Gen metadata"
        raise CheckpointError(
            f"{header.path} has {held}, but {network!r} is needed; quantise a file that `moviegen` wrote and keep "
            "its metadata"
        )
    entry = catalog.get(network)
    built = entry.construct(from_dict(entry.config_class, header.config), device="meta", dtype=torch.float32)
    wanted = built.state_dict()
    convert = comfy.utils.convert_old_quants
    # Metadata names layers as the file does, the key of the older layout may be ours already.
    tensors, _ = convert(loading.read_tensors(header), "", metadata=dict(header.metadata))
    rename = loading.rename_keys(tensors, wanted, entry.key_maps) or {}
    tensors, _ = convert({rename.get(key, key): value for key, value in tensors.items()}, "", metadata={})
    layers = {key.removesuffix(FORMAT_KEY) for key in tensors if key.endswith(FORMAT_KEY)}
    packed = {f"{layer}.weight" for layer in layers} & tensors.keys() & wanted.keys()
    beside = {key for key in tensors if key not in wanted and key.rsplit(".", 1)[0] in layers}
    plain = {key: wanted[key] if key in packed else value for key, value in tensors.items() if key not in beside}
    loading.check_fit(built, plain, name=network, path=header.path)
    return tensors
