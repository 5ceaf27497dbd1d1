import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from moviegen_core.models import catalog
from moviegen_core.models.audio_codec.presets import NANO as NANO_CODEC
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.models.tae.presets import NANO as NANO_TAE
from moviegen_core.models.video_dit.model import VideoDiTConfig

SMALL = {"dim": 16, "num_heads": 2, "num_layers": 1, "mlp_dim": 24}
CONFIGS = {
    "video_dit": VideoDiTConfig(**SMALL, qk_norm=True, context_dims={"ul2": 6}, max_grid=(2, 2, 2)),
    "audio_dit": AudioDiTConfig(**SMALL, qk_norm=True, text_dim=6, frame_dim=8),
    "tae": dataclasses.replace(NANO_TAE, channels=(8, 8, 8, 8), norm_groups=4),
    "audio_codec": dataclasses.replace(NANO_CODEC, encoder_dim=8, latent_dim=16, decoder_dim=16),
}
GIVEN = {
    "video_dit": lambda network: network(
        torch.ones(1, 16, 2, 2, 2), torch.tensor([0.5]), network.prepare({"ul2": torch.ones(1, 3, 6)})
    ),
    "audio_dit": lambda network: network(
        torch.ones(1, network.config.latent_channels, 5),
        torch.tensor([0.5]),
        network.prepare(torch.ones(1, 3, 6), frames=torch.ones(1, 5, 8)),
    ),
    "tae": lambda network: network.decode(network.encode(torch.ones(1, 3, 8, 16, 16))),
    "audio_codec": lambda network: network.decode(network.encode(0.1 * torch.ones(1, 1, 3840))),
}


def late(kind: type[nn.Module]) -> type[nn.Module]:
    """A layer that holds no weight until one is loaded, as ComfyUI's do where it manages VRAM dynamically."""

    class Late(kind):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            self._parameters.update(dict.fromkeys(self._parameters))

        def _load_from_state_dict(self, tensors, prefix, *rest):
            for name in self._parameters:
                if f"{prefix}{name}" in tensors:
                    setattr(self, name, nn.Parameter(tensors[f"{prefix}{name}"], requires_grad=False))

    return Late


KINDS = ("Linear", "Embedding", "LayerNorm", "GroupNorm", "Conv1d", "Conv2d", "ConvTranspose1d")
LATE = SimpleNamespace(**{name: late(getattr(nn, name)) for name in KINDS})


@pytest.mark.parametrize("name", CONFIGS)
def test_networks_are_built_of_layers_whose_weights_come_late(name):
    entry, config = catalog.get(name), CONFIGS[name]
    torch.manual_seed(0)
    network = catalog.build(name, config, device="cpu").eval()
    built = entry.module_class(config, ops=LATE).eval()
    assert any(hasattr(layer, "weight") and layer.weight is None for layer in built.modules())
    built.load_state_dict(network.state_dict(), strict=False, assign=True)
    with torch.no_grad():
        torch.testing.assert_close(GIVEN[name](built), GIVEN[name](network), rtol=0, atol=0)
