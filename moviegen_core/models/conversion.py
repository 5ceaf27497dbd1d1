"""Foreign checkpoints -> ours: pickles and safetensors files, in the layouts that the networks' checkpoint.py know.

A pickle is read with weights_only=True: nothing in it is executed.
"""

from __future__ import annotations

import logging
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import from_dict
from ..errors import CheckpointError
from . import catalog, loading

logger = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model", "module", "ema")  # under which trainings keep weights


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, network: str | None = None, config: Any = None,
    dtype: torch.dtype | None = None,
) -> Path:  # fmt: skip
    """Rewrite a foreign file (pickle or safetensors) as ours; a pickle is read with weights_only=True.

    `config` is a preset's name, a dict or a config object of `network`. Without them a file is rewritten whose
    layout tells network and sizes: the released DAC-VAE, or an image autoencoder of Latent Diffusion. Of a text
    encoder the preset names the role, and the sizes are those of the config.json beside it. CheckpointError for a file
    without needed tensors.
    """
    source = Path(source)
    needs = (lambda key: True) if network is None else catalog.get(network).needs
    tensors = _foreign_tensors(loading.existing(source), needs)
    if not tensors:
        raise CheckpointError(f"{source} holds no named tensors that are needed; give the model's state dict")
    if network is not None and (rewrite := catalog.get(network).convert) is not None:
        return rewrite(tensors, source, Path(target), config, dtype)
    network, config = _network_of(source, tensors, network, config)
    entry = catalog.get(network)
    tensors = dict(entry.complete(tensors, config))
    built = entry.construct(config, device="meta", dtype=torch.float32)
    renamed = loading.rename_keys(tensors, built.state_dict(), entry.key_maps) or {}
    loading.assign(
        built,
        {renamed.get(key, key): loading.in_dtype(value, dtype) for key, value in tensors.items()},
        name=network,
        path=source,
    )
    return loading.save(built, target)


def _foreign_tensors(source: Path, needs: Callable[[str], bool]) -> dict[str, Tensor]:
    """Needed tensors by name of a pickle, an index of pickles, or a safetensors file that is not ours."""
    if source.name.endswith(loading.PICKLE_INDEX_SUFFIX):
        # What one shard holds beside them is let go before the next is opened.
        return {
            key: value for shard in loading.shards_of(source) for key, value in _foreign_tensors(shard, needs).items()
        }
    if not loading.is_pickle(source):
        header = loading.read_header(source)
        if header.network is not None:
            raise CheckpointError(f"{source} is a Movie Gen file already ({header.network}); use it as it is")
        return loading.read_tensors(
            replace(header, files={key: header.files[key] for key in header.keys if needs(key)})
        )
    try:
        content = torch.load(source, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:
        if _is_torn(source, error):
            raise CheckpointError(
                f"{source} ({source.stat().st_size} bytes) is cut off or damaged; fetch the file again"
            ) from error
        raise CheckpointError(
            f"{source} holds more than plain tensors and stays closed ({loading.first_line(error)}); ask for "
            "safetensors"
        ) from error
    wrappers = [name for name in WRAPPERS if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)]
    if wrappers:
        chosen = wrappers[0]
        if "ema" in wrappers and content["ema"].keys() == content[chosen].keys():
            chosen = "ema"  # the average of the same weights, which is what one samples from
        if len(wrappers) > 1:
            logger.warning("%s holds %s; %s is converted", source, " and ".join(wrappers), chosen)
        content = content[chosen]
    return {str(key): value for key, value in _items(content) if isinstance(value, Tensor) and needs(str(key))}


def _network_of(source: Path, tensors: Mapping[str, Tensor], network: str | None, config: Any) -> tuple[str, Any]:
    """Network and config object from what was given, or from the layout where it tells them."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    if config is None:
        for name in catalog.NETWORKS if network is None else (network,):
            config = catalog.get(name).recognise(shapes)
            if config is not None:
                return name, config
    if network is None or config is None:
        raise CheckpointError(
            f"the layout of {source} does not tell its network and sizes (keys: {loading.some_of(shapes)}); name them "
            "with --network and --preset"
        )
    entry = catalog.get(network)
    if isinstance(config, str):
        return network, entry.preset(config)
    return network, from_dict(entry.config_class, config) if isinstance(config, Mapping) else config


def _is_torn(path: Path, error: Exception) -> bool:
    """Whether torch's reader of a pickle stopped at what is missing or unreadable, not at what it may not run."""
    with path.open("rb") as file:
        if file.read(4) == loading.ZIP_START:
            return not zipfile.is_zipfile(path) or "PytorchStreamReader" in str(error)
    return isinstance(error, (EOFError, IndexError, struct.error)) or "unexpected EOF" in str(error)


def _items(content: Any) -> Iterator[tuple[Any, Any]]:
    return iter(content.items()) if isinstance(content, Mapping) else iter(())
