"""What is computed in float64 is computed on the CPU: MPS has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from moviegen_core.evaluate import metrics
from moviegen_core.models import catalog
from moviegen_core.train.recipes.nano_tae import statistics
from moviegen_core.train.whiten import folded, whitened

COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.to.dtype_layout)  # the latter in inference mode


class Mps(TorchDispatchMode):
    """Makes the meta device stand in for MPS: it holds no float64, and a copy to the CPU keeps its precision."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in COPIES and args[0].is_meta and kwargs.get("device") == torch.device("cpu"):
            assert kwargs.get("dtype") in (None, args[0].dtype)
            return torch.rand(args[0].shape, dtype=args[0].dtype)
        made = function(*args, **kwargs)
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                assert tensor.device.type == "cpu"
        return made


class Still:
    """Clips of one grey picture."""

    def pixels(self, number):
        return np.full((1, 16, 16, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize("measure", [metrics.mse, metrics.ssim])
def test_clips_on_any_device_are_compared(measure):
    with Mps():
        assert 0.0 < measure(*torch.rand(2, 3, 16, 16, device="meta")) < 1.0


def test_layer_on_any_device_is_whitened_and_folded():
    with Mps():
        layers = whitened([nn.Linear(4, 3, device="meta")], torch.rand(9, 4, device="meta"), stir=0.5)
        [layer] = folded(layers.children())
    assert layer.weight.device.type == "meta"


def test_latents_of_an_autoencoder_on_any_device_are_measured():
    tae = catalog.build("tae", "nano", device="meta")
    with Mps():
        mean, std = statistics(tae, Still(), 2)
        tae.set_statistics(mean, std)
    assert mean.shape == std.shape == (16,)
