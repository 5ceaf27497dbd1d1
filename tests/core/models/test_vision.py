"""Vision towers: our own file, and public CLIP files that are converted to it."""

import pytest
import torch
from safetensors.torch import save_file

from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import conversion, loading
from moviegen_core.models.vision import build_network
from moviegen_core.models.vision.checkpoint import load_vision_tower, save_vision_tower
from moviegen_core.models.vision.presets import NANO

PIXELS = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return build_network(NANO).eval()


def features(network):
    with torch.no_grad():
        return network(PIXELS).pooler_output


def test_our_own_file_holds_tower_and_projections(tower, tmp_path):
    projections = {name: torch.randn(4, NANO.dim) for name in ("vision_projection", "text_projection")}
    path = save_vision_tower(tmp_path / "tower.safetensors", NANO, tower, projections, dtype=torch.float32)
    loaded, found = load_vision_tower(path)
    torch.testing.assert_close(features(loaded), features(tower))
    torch.testing.assert_close(found, projections, rtol=0, atol=0)
    with pytest.raises(CheckpointError, match=r"use models\.vision\.checkpoint"):
        loading.load(path)


def test_tower_of_a_pickled_clip_file_is_converted(tower, tmp_path):
    prefix = "vision_model."
    state = {prefix + key.removeprefix(prefix): value for key, value in tower.state_dict().items()}
    state |= {f"{prefix}embeddings.position_ids": torch.arange(17)[None], "logit_scale": torch.zeros(())}
    state |= {"text_model.final_layer_norm.weight": torch.zeros(2), "visual_projection.weight": torch.zeros(2, 2)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    path = conversion.convert(
        tmp_path / "pytorch_model.bin", tmp_path / "ours.safetensors", network="vision", config="nano"
    )
    torch.testing.assert_close(features(load_vision_tower(path)[0]), features(tower))
    with pytest.raises(ConfigError, match="with --preset l14, nano"):
        conversion.convert(tmp_path / "pytorch_model.bin", tmp_path / "other.safetensors", network="vision")


def test_foreign_file_is_pointed_to_its_conversion(tower, tmp_path):
    save_file({"visual.conv1.weight": torch.zeros(2)}, tmp_path / "open_clip.safetensors")
    with pytest.raises(CheckpointError, match="make one of its vision tower with `moviegen convert --network vision`"):
        load_vision_tower(tmp_path / "open_clip.safetensors")
    with pytest.raises(CheckpointError, match=r"no vision tower in the Hugging Face layout .* but visual\.conv1"):
        conversion.convert(
            tmp_path / "open_clip.safetensors", tmp_path / "ours.safetensors", network="vision", config="nano"
        )
