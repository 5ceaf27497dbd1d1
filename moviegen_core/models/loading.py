"""Checkpoint files: metadata -> config -> network on the meta device -> key map -> strict assign.

Our file is one safetensors file whose metadata holds {format, network, version, config} and whose keys are the
attribute names of the network. No pickle is ever opened here; conversion.py reads one with weights_only=True.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import from_dict, to_dict
from ..errors import CheckpointError, ConfigError, MovieGenError
from ..files import replacing
from . import catalog

FORMAT, VERSION = "moviegen", "1"
INDEX_SUFFIX, PICKLE_INDEX_SUFFIX = ".safetensors.index.json", ".bin.index.json"
ZIP_START = b"PK\x03\x04"
MAX_HEADER_BYTES = 100 * 2**20  # safetensors' own limit


@dataclass(frozen=True)
class Header:
    """What a checkpoint says about itself, known before any tensor is read."""

    path: Path
    network: str | None  # name in catalog.NETWORKS; None for a file that is not ours
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]  # key -> shape
    files: dict[str, Path]  # key -> the file (shard) that holds it
    dtypes: dict[str, str] = field(default_factory=dict)  # key -> safetensors name: F32, BF16, ...
    metadata: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every tensor's name in the file."""
        return tuple(self.shapes)

    @property
    def parameters(self) -> int:
        """Numbers held by all tensors together."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())


def save(
    network: nn.Module, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> Path:  # fmt: skip
    """Write `network` (of a catalog class, with `.config`) atomically; `extra` is JSON-ready and comes back in Header.

    `dtype` is what floating-point weights are stored in (fp16 halves the file); None keeps theirs.
    """
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "network": catalog.name_of(network),
        "config": json.dumps(to_dict(network.config)),
        "extra": json.dumps(dict(extra or {})),
    }
    tensors = {key: in_dtype(value.detach(), dtype) for key, value in network.state_dict().items()}
    return write_tensors(tensors, path, metadata)


def write_tensors(
    tensors: Mapping[str, Tensor], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a safetensors file through a temporary name in the same folder, so that none is ever seen half.

    CheckpointError where that fails.
    """
    from safetensors.torch import save_file

    path = Path(path)
    try:
        contents = {key: value.contiguous() for key, value in tensors.items()}
        with replacing(path) as partial:
            partial.touch()
            permissions = partial.stat().st_mode
            save_file(contents, partial, metadata=dict(metadata or {}))
            partial.chmod(permissions)  # some versions of safetensors make the file private
            _sort_metadata(partial)
    except MovieGenError:
        raise
    except Exception as error:  # safetensors wraps a full disk in its own error class
        raise CheckpointError(
            f"{path} cannot be written ({first_line(error)}); free some space or choose another folder"
        ) from error
    return path


def _sort_metadata(path: Path) -> None:
    """Put a file's metadata in the order of their names."""
    # safetensors writes them in another order each time; the same weights must have the same sha256.
    with path.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        sorted_header = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(sorted_header) <= size:
            stream.seek(8)
            stream.write(sorted_header.ljust(size))


def load(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None,
    ops: Any = torch.nn, attend: Any = "auto", network: str | None = None, config: Any = None,
) -> nn.Module:  # fmt: skip
    """Network of the file, in eval mode, on `device` in `dtype` (None: as stored).

    `network` names what is expected: a file of another network is refused; with `config` (object or dict) it also
    opens files that carry no metadata of ours, through the key maps beside that network. CheckpointError for any other
    file.
    """
    header = read_header(path)
    name = header.network or network
    if name is None or (header.network is None and config is None):
        raise CheckpointError(
            f"{header.path} has no Movie Gen metadata, so its network is unknown (keys: {some_of(header.keys)}); "
            "give a file that `moviegen train` or `moviegen convert` wrote, or what ComfyUI's save nodes wrote after "
            f"`moviegen convert FILE NEW --network {name or 'NAME'} --preset NAME`"
        )
    if network is not None and name != network:
        raise CheckpointError(
            f"{header.path} holds the network {name!r}, but {network!r} is needed; choose such a file"
        )
    entry = catalog.get(name)
    if entry.convert is not None:
        raise CheckpointError(
            f"{header.path} holds the network {name!r}, which has a loader of its own; use models.{name}.checkpoint"
        )
    try:
        settings = header.config if header.network else config
        settings = from_dict(entry.config_class, settings) if isinstance(settings, Mapping) else settings
        built = entry.construct(settings, device="meta", dtype=dtype or torch.float32, ops=ops, attend=attend)
    except (ConfigError, TypeError, ValueError, RuntimeError) as error:  # the last is torch's, of impossible sizes
        raise CheckpointError(f"{header.path} ({name}): its config is not valid: {first_line(error)}") from error
    renamed = rename_keys(header.keys, built.state_dict().keys(), entry.key_maps)
    assign(built, read_tensors(header, device=device, dtype=dtype, rename=renamed), name=name, path=header.path)
    return built.eval()


def read_tensors(
    header: Header, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None,
    rename: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """All tensors of a checkpoint; floating-point ones in `dtype` (None: as stored), keys through `rename`.

    CheckpointError where a file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, Tensor] = {}
    for file in dict.fromkeys(header.files.values()):
        try:
            with safe_open(file, framework="pt", device=str(device)) as shard:
                for key in shard.keys():  # noqa: SIM118  (not a dict)
                    if header.files.get(key) == file:
                        tensors[(rename or {}).get(key, key)] = in_dtype(shard.get_tensor(key), dtype)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} cannot be read ({first_line(error)}); fetch the file again") from error
    return tensors


def assign(network: nn.Module, tensors: Mapping[str, Tensor], *, name: str, path: str | os.PathLike[str]) -> None:
    """Give `network` exactly these tensors; CheckpointError as of `check_fit`."""
    check_fit(network, tensors, name=name, path=path)
    network.load_state_dict(dict(tensors), strict=True, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())


def check_fit(
    network: nn.Module | Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, name: str,
    path: str | os.PathLike[str], remedy: str | None = None,
) -> None:  # fmt: skip
    """CheckpointError that names what is missing, unexpected, or of another shape or kind than `network` has.

    `network` may be a state dict, where a file's names are not the attributes'. `remedy` is what to do instead of
    choosing a file of this network and preset.
    """
    wanted = network.state_dict() if isinstance(network, nn.Module) else network
    missing = [key for key in wanted if key not in tensors]
    unexpected = [key for key in tensors if key not in wanted]
    if missing or unexpected:
        raise CheckpointError(
            f"{path} does not fit the network {name!r}: of {len(wanted)} keys {len(missing)} are missing "
            f"({some_of(missing)}) and {len(unexpected)} are unexpected ({some_of(unexpected)}); "
            f"{remedy or 'choose a file of this network and preset'}"
        )
    wrong = [key for key in wanted if wanted[key].shape != tensors[key].shape]
    if wrong:
        told = [f"{key} {tuple(tensors[key].shape)} instead of {tuple(wanted[key].shape)}" for key in wrong[:5]]
        raise CheckpointError(
            f"{path} does not fit the network {name!r}: {len(wrong)} of {len(wanted)} tensors have another shape "
            f"({', '.join(told)}); {remedy or 'choose a file of this preset'}"
        )
    whole = [key for key in wanted if wanted[key].is_floating_point() and not tensors[key].is_floating_point()]
    if whole:
        raise CheckpointError(
            f"{path} does not fit the network {name!r}: {len(whole)} of {len(wanted)} tensors hold whole numbers "
            f"({some_of(whole)}); choose a file of weights that are not quantised"
        )


def rename_keys(
    keys: Iterable[str], wanted: Iterable[str], key_maps: Iterable[catalog.KeyMap]
) -> dict[str, str] | None:
    """Renaming of the first key map that recognises the file; None where its keys are already ours."""
    found = set(keys)
    if found == set(wanted):
        return None
    for key_map in key_maps:
        if key_map.recognises(found):
            return {key: key_map.rename(key) for key in found}
    return None


def read_header(path: str | os.PathLike[str]) -> Header:
    """Metadata, keys and shapes of a file, a sharded index, or a folder that holds one of them.

    CheckpointError where it is missing, damaged or of another version.
    """
    path = _locate(Path(path))
    shards = shards_of(path) if path.name.endswith(INDEX_SUFFIX) else [path]
    metadata: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    files: dict[str, Path] = {}
    for shard in shards:
        entries = _read_safetensors_header(shard)
        _merge(metadata, entries.pop("__metadata__", None) or {})
        for key, entry in entries.items():
            shapes[key], dtypes[key], files[key] = tuple(entry["shape"]), entry["dtype"], shard
    if path.name.endswith(INDEX_SUFFIX):  # where the Hugging Face library puts what was given to it
        metadata.update(index_metadata(path))
    if metadata.get("format") != FORMAT:
        return Header(path, None, {}, shapes, files, dtypes, metadata)
    try:
        config, extra = json.loads(metadata["config"]), json.loads(metadata.get("extra", "{}"))
        if not isinstance(config, dict) or not isinstance(extra, dict):
            raise ValueError("config and extra must be objects")
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its Movie Gen metadata is damaged ({first_line(error)}); fetch the file again"
        ) from error
    if metadata.get("version", VERSION) != VERSION:
        raise CheckpointError(
            f"{path} has format version {metadata['version']}, this library reads {VERSION}; update it"
        )
    return Header(path, metadata.get("network"), config, shapes, files, dtypes, metadata, extra)


def _merge(metadata: dict[str, str], more: Mapping[str, str]) -> None:
    """Adds what another part says; a part that only says "pt", as PyTorch's do, does not take our name away."""
    ours = metadata.get("format") == FORMAT
    metadata.update(more)
    if ours:
        metadata["format"] = FORMAT


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """What a checkpoint is read from: its own file, or its index and every shard; of a folder what it holds."""
    path = _locate(Path(path))
    return [path, *(shards_of(path) if path.name.endswith((INDEX_SUFFIX, PICKLE_INDEX_SUFFIX)) else [])]


def _locate(path: Path) -> Path:
    path = existing(path)
    if not path.is_dir():
        return path
    for pattern in (f"*{INDEX_SUFFIX}", "*.safetensors"):
        found = sorted(path.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise CheckpointError(
                f"{path} holds {len(found)} checkpoints ({some_of([f.name for f in found])}); name one"
            )
    raise CheckpointError(
        f"the folder {path} holds no .safetensors file; give the checkpoint itself, or rewrite a pickle with "
        "`moviegen convert`"
    )


def existing(path: Path) -> Path:
    """The path of a file or folder that is there; CheckpointError otherwise."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the name and the folder")
    return path


def shards_of(index: Path) -> list[Path]:
    """The files that an index names; CheckpointError where one is missing."""
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"{index} is not an index of shards ({first_line(error)}); fetch the file again"
        ) from error
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise CheckpointError(
            f"{index} names {len(names)} shards, but {len(absent)} are missing ({some_of(absent)}); fetch them"
        )
    return [index.parent / name for name in names]


def index_metadata(index: Path) -> dict[str, str]:
    """What an index says beside the places of its tensors, as far as it is text."""
    metadata = json.loads(index.read_text()).get("metadata")
    return {key: value for key, value in (metadata or {}).items() if isinstance(value, str)}


def _read_safetensors_header(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if is_pickle(path):
            raise CheckpointError(
                f"{path} is a pickle, which could run code when opened; rewrite it with `moviegen convert`"
            )
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if start == b"version ":
            raise CheckpointError(f"{path} is a Git LFS pointer, not the weights; run `git lfs pull`")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise CheckpointError(f"{path} ({size} bytes) is not a safetensors file; choose another or fetch it again")
        text = file.read(length)
    if len(text) < length:
        raise CheckpointError(f"{path} is cut off after {size} bytes, inside its header; fetch the file again")
    try:
        entries = json.loads(text)
        tensors = [entry for key, entry in entries.items() if key != "__metadata__"]
        numbers = [number for entry in tensors for number in (*entry["shape"], *entry["data_offsets"])]
        texts = [*(entry["dtype"] for entry in tensors), *(entries.get("__metadata__") or {}).values()]
        if not all(isinstance(number, int) for number in numbers) or not all(isinstance(text, str) for text in texts):
            raise ValueError("shapes must be numbers, metadata texts")
        needed = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file (its header cannot be read); fetch the file again"
        ) from error
    if size != needed:
        state = "cut off" if size < needed else "longer than its header says"
        raise CheckpointError(f"{path} is {state}: {size} bytes instead of {needed}; fetch the file again")
    return entries


def is_pickle(path: Path) -> bool:
    """Zip archives and raw pickles, told by their first bytes, whatever the name says."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        start = file.read(9)
    if start[:4] == ZIP_START:
        return True
    # A raw pickle starts with PROTO 2..5; a safetensors header of that length would have "{" at byte 8.
    return len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5 and start[8:9] != b"{"


def in_dtype(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A floating-point tensor in `dtype` (None: as it is); any other as it is."""
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def some_of(names: Iterable[str]) -> str:
    """The first five names, for an error."""
    names = sorted(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "none"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
