"""Text encoder files: our own single file, Hugging Face folders and files, OpenCLIP/MetaCLIP files.

Stored keys are those of the public Hugging Face layout (`text_model.` in front for CLIP). Our own file
also holds role, config and tokenizer in its metadata, so that a nano encoder is one file.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config import from_dict, to_dict
from ...errors import CheckpointError, ConfigError
from .. import loading
from .model import ROLES, TextConfig, TextEncoder, build_network
from .presets import FULL
from .tokenizer import ByteTokenizer, LibraryTokenizer, TextTokenizer, find_tokenizer

logger = logging.getLogger(__name__)

_POSITIONS = "text_model.embeddings.position_embedding.weight"
_TIED = "encoder.embed_tokens.weight"
# What public files hold beside the encoder: decoders, vision towers, heads and constants.
_FOREIGN = {
    "t5": re.compile(rf"decoder\.|lm_head\.|{re.escape(_TIED)}$"),
    "clip": re.compile(
        r"vision_model\.|visual|(text\.)?text_projection|(text\.)?logit_|(text\.)?attn_mask|text_model\.embeddings\.position_ids"
    ),
}
# What ComfyUI and others write beside weights that count only together with a scale.
_SCALES = ("scaled_fp8", ".scale_weight", ".scale_input", ".weight_scale", ".input_scale", ".comfy_quant")
_OPENCLIP_LEAVES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_OPENCLIP_TOPS = {
    "positional_embedding": _POSITIONS,
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}


def load_text_encoder(
    role: str,
    path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    positions: int | None = 256,
) -> TextEncoder:
    """Load the encoder of `role` ("ul2", "metaclip", "byt5") from a file or a Hugging Face folder.

    A file that is not ours has the sizes of the config.json beside it, without one the published ones; its tokenizer
    lies beside it too. Of a folder `model.safetensors` is read, or the only checkpoint there.
    `positions`: a CLIP position table that is shorter is interpolated to this length, and the log says
    so; None keeps the file's own. CheckpointError when file, role and tokenizer do not fit together. ConfigError for an
    unknown role.
    """
    if role not in ROLES:
        raise ConfigError(f"text encoder role {role!r} is unknown; use one of {', '.join(ROLES)}")
    path = Path(path)
    header = _header(path)
    if header.network is not None:
        config, tokenizer = _own(role, header)
    else:
        config, tokenizer = _beside(role, path)
    names = _own_names(header.files, config.family)
    wanted = dataclasses.replace(header, files={key: header.files[key] for key in names})
    tensors = loading.read_tensors(wanted, dtype=dtype, rename=names)
    if config.family == "t5" and dtype == torch.float16:
        # What a large T5's feed-forward gives exceeds half precision: its last layer stays in single, as its library
        # keeps it too.
        tensors = {key: value.float() if key.endswith(".wo.weight") else value for key, value in tensors.items()}
    network, config = _built(tensors, config, role, path, positions, dtype)
    return TextEncoder(role, config, network, tokenizer).to(device=device)


def needs(key: str) -> bool:
    """Whether a foreign file's tensor of this name can belong to an encoder."""
    return key == _TIED or not any(pattern.match(key) for pattern in _FOREIGN.values())


def convert(
    tensors: Mapping[str, Tensor], source: Path, target: Path, role: str, dtype: torch.dtype | None = None
) -> Path:
    """Write the encoder of `role` among a foreign file's `tensors` as our own file.

    Sizes and tokenizer are those in or beside `source`; a file without a config.json has the published sizes.
    ConfigError for an unknown role, CheckpointError for a missing tokenizer.
    """
    if role not in ROLES:
        raise ConfigError(f"a text encoder is converted with --preset {', '.join(ROLES)}; given was {role!r}")
    config, tokenizer = _beside(role, source)
    if role != "byt5" and not isinstance(tokenizer, LibraryTokenizer):
        folder = source if source.is_dir() else source.parent
        raise CheckpointError(f"{folder} holds no tokenizer.json, which the new file needs; put the model's beside it")
    own = {name: tensors[key] for key, name in _own_names(tensors, config.family).items()}
    network, config = _built(own, config, role, source, None, None)
    return save_text_encoder(target, role, config, network, tokenizer, dtype=dtype)


def save_text_encoder(
    path: str | Path,
    role: str,
    config: TextConfig,
    network: nn.Module,
    tokenizer: TextTokenizer,
    *,
    dtype: torch.dtype | None = torch.float16,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write one self-contained safetensors file; `extra` is JSON-ready, such as the recipe's name.

    `dtype` is what weights are stored in; None keeps theirs.
    """
    known: dict[str, Any] = {**(extra or {}), "role": role}
    if isinstance(tokenizer, LibraryTokenizer):
        known["tokenizer"] = tokenizer.tokenizer.to_str()
    metadata = {
        "format": loading.FORMAT,
        "version": loading.VERSION,
        "network": "text",
        "config": json.dumps(to_dict(config)),
        "extra": json.dumps(known),
    }
    tensors = {key: value.detach().to("cpu", dtype) for key, value in public_state(network).items()}
    return loading.write_tensors(tensors, path, metadata)


def public_state(network: nn.Module) -> dict[str, Tensor]:
    """State dict in the public layout, without the tied copy of T5's embedding."""
    state = {key: value for key, value in network.state_dict().items() if key != _TIED}
    is_clip = any(key.endswith("embeddings.position_embedding.weight") for key in state)
    # transformers 5 dropped the `text_model.` level that public CLIP files have.
    return {_with_prefix(key) if is_clip else key: value for key, value in state.items()}


def from_openclip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP / MetaCLIP text tower -> public layout; the fused in_proj is split into q, k, v."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        key = name.removeprefix("text.")
        if key in _OPENCLIP_TOPS:
            renamed[_OPENCLIP_TOPS[key]] = value
            continue
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
        if match is None:
            renamed[name] = value  # reported as unexpected by the strict check
            continue
        block, leaf, kind = f"text_model.encoder.layers.{match[1]}", match[2], match[3]
        if leaf == "attn.in_proj":
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{block}.self_attn.{letter}_proj.{kind}"] = part
        else:
            renamed[f"{block}.{_OPENCLIP_LEAVES.get(leaf, leaf)}.{kind}"] = value
    return renamed


def extend_positions(table: Tensor, length: int) -> Tensor:
    """Position table [P, De] -> [length, De], linearly interpolated with both ends kept."""
    stretched = functional.interpolate(table.float().T[None], size=length, mode="linear", align_corners=True)
    return stretched[0].T.to(table.dtype).contiguous()


def _with_prefix(key: str) -> str:
    return key if key.startswith("text_model.") else f"text_model.{key}"


def _header(path: Path) -> loading.Header:
    """Header of a file or folder; of the several files in a Hugging Face folder, `model.safetensors` counts."""
    single = path / "model.safetensors"
    return loading.read_header(single if single.is_file() else path)


def _own(role: str, header: loading.Header) -> tuple[TextConfig, TextTokenizer]:
    path, held = header.path, header.extra.get("role") or header.network
    if header.network != "text" or held != role:
        raise CheckpointError(f"{path} holds {held!r}, but the text encoder {role!r} is needed; choose that file")
    try:
        config = from_dict(TextConfig, header.config)
    except (ConfigError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} has a damaged config in its metadata ({error}); copy the file again") from error
    if role == "byt5":
        return config, ByteTokenizer()
    if "tokenizer" not in header.extra:
        raise CheckpointError(f"{path} has no tokenizer in its metadata; save it with save_text_encoder")
    return config, LibraryTokenizer.from_json(header.extra["tokenizer"], config.family)


def _beside(role: str, path: Path) -> tuple[TextConfig, TextTokenizer]:
    """Sizes and tokenizer in a Hugging Face folder, or beside a file; only a file may have no config.json."""
    folder = path if path.is_dir() else path.parent
    told = path.is_dir() or (folder / "config.json").is_file()
    config = _folder_config(role, folder) if told else FULL[role]
    return config, find_tokenizer(folder, role, config.family)


def _folder_config(role: str, folder: Path) -> TextConfig:
    """Read a Hugging Face config.json; CheckpointError when it is another kind of model."""
    try:
        values: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} has no config.json; give the whole Hugging Face folder") from error
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'} is damaged ({error}); download it again") from error
    kind = values.get("model_type")
    preset = FULL[role]
    needed = ("clip", "clip_text_model") if preset.family == "clip" else ("t5",)
    if kind not in needed:
        raise CheckpointError(
            f"{folder / 'config.json'} is of a {kind!r} model, but {role} needs {' or '.join(needed)}; choose another "
            "folder, or give the file one of its own"
        )
    if preset.family == "clip":
        from transformers import CLIPTextConfig

        clip = CLIPTextConfig(**values.get("text_config", {} if kind == "clip" else values))
        return TextConfig(
            family="clip",
            vocab_size=clip.vocab_size,
            dim=clip.hidden_size,
            num_layers=clip.num_hidden_layers,
            num_heads=clip.num_attention_heads,
            head_dim=clip.hidden_size // clip.num_attention_heads,
            mlp_dim=clip.intermediate_size,
            activation=clip.hidden_act,
            max_tokens=clip.max_position_embeddings,
            norm_eps=clip.layer_norm_eps or 1e-5,
        )
    from transformers import T5Config

    t5 = T5Config(**values)
    return TextConfig(
        family="t5",
        vocab_size=t5.vocab_size,
        dim=t5.d_model,
        num_layers=t5.num_layers,
        num_heads=t5.num_heads,
        head_dim=t5.d_kv,
        mlp_dim=t5.d_ff,
        activation=t5.feed_forward_proj,
        max_tokens=preset.max_tokens,
        relative_buckets=t5.relative_attention_num_buckets,
        relative_distance=t5.relative_attention_max_distance,
        norm_eps=t5.layer_norm_epsilon,
    )


def _own_names(keys: Collection[str], family: str) -> dict[str, str]:
    """A file's keys of the encoder only -> public names; a T5 embedding counts under its one public name."""
    names = {key: key for key in keys if not _FOREIGN[family].match(key)}
    if family == "t5" and "shared.weight" not in keys and _TIED in keys:
        names[_TIED] = "shared.weight"
    return names


def _built(
    tensors: dict[str, Tensor],
    config: TextConfig,
    role: str,
    path: Path,
    positions: int | None,
    dtype: torch.dtype | None,
) -> tuple[nn.Module, TextConfig]:
    """Network that holds the encoder's tensors; those of a CLIP tower in either layout."""
    if config.family == "clip":
        if "token_embedding.weight" in tensors or "text.token_embedding.weight" in tensors:
            tensors = from_openclip(tensors)
        tensors, config = _fit_positions(tensors, config, positions, path)
    network = build_network(config, device="meta", dtype=dtype)
    _assign(network, tensors, role, path)
    return network, config


def _fit_positions(
    tensors: dict[str, Tensor], config: TextConfig, positions: int | None, path: Path
) -> tuple[dict[str, Tensor], TextConfig]:
    tensors = {_with_prefix(key): value for key, value in tensors.items()}
    table = tensors.get(_POSITIONS)
    if table is None or table.ndim != 2:
        return tensors, config  # the strict check reports it
    length = table.shape[0]
    if positions is not None and length < positions:
        logger.warning(
            "%s holds positions for %d tokens; they are interpolated to %d (the long-prompt MetaCLIP of the paper "
            "was fine-tuned at that length, this file was not)",
            path.name,
            length,
            positions,
        )
        tensors[_POSITIONS] = extend_positions(table, positions)
        length = positions
    return tensors, dataclasses.replace(config, max_tokens=length)


def _assign(network: nn.Module, tensors: dict[str, Tensor], role: str, path: Path) -> None:
    """Give the tensors to a network on the meta device; CheckpointError unless names and shapes fit exactly."""
    needed = public_state(network)
    scales = [key for key in tensors if key not in needed and key.endswith(_SCALES)]
    if scales:
        raise CheckpointError(
            f"{path} is quantised with scales ({len(scales)} keys such as {scales[0]}), but text encoders are read "
            "from plain weights; give the unquantised file (fp16, bf16 or fp32)"
        )
    remedy = "choose another file, or give the Hugging Face folder with its config.json"
    loading.check_fit(needed, tensors, name=role, path=path, remedy=remedy)
    state = network.state_dict()
    by_public = dict(zip(needed, (key for key in state if key != _TIED), strict=True))
    assigned = {own: tensors[public] for public, own in by_public.items()}
    if _TIED in state:
        assigned[_TIED] = assigned["shared.weight"]
    network.load_state_dict(assigned, strict=True, assign=True)
    if _TIED in state:
        network.get_submodule("encoder.embed_tokens").weight = network.get_submodule("shared").weight
    for module in network.modules():
        held = getattr(module, "position_ids", None)
        if isinstance(held, Tensor) and held.is_meta:  # a constant that no file holds
            module.position_ids = torch.arange(held.shape[-1]).expand(1, -1)
