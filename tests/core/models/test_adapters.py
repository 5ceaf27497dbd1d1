"""Low-rank adapters on a network, in a file, and merged into weights."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import adapters, catalog, loading
from moviegen_core.models.video_dit.model import VideoDiTConfig

SIZES = {"dim": 32, "num_heads": 2, "num_layers": 2, "mlp_dim": 48, "context_dims": {"ul2": 8}, "max_grid": (4, 8, 8)}


@pytest.fixture
def network():
    torch.manual_seed(0)
    built = catalog.build("video_dit", VideoDiTConfig(**SIZES), device="cpu")
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return built.eval()


def velocity(network):
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 16, 2, 4, 4, generator=generator)
    context = network.prepare({"ul2": torch.randn(1, 3, 8, generator=generator)})
    with torch.no_grad():
        return network(latent, torch.tensor([0.4]), context)


def disturb(network):
    with torch.no_grad():
        for parameter in adapters.parameters(network):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    return network


def test_fresh_adapters_change_nothing_and_alone_are_trained(network):
    before = velocity(network)
    adapters.adapt(network, 3)
    assert torch.equal(velocity(network), before)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert len(trained) == 2 * len(adapters.adapted(network)) == 2 * 2 * 11
    assert all(name.endswith((".down.weight", ".up.weight")) for name in trained)


def test_saved_adapters_added_to_the_weights_give_what_the_adapted_network_gives(network, tmp_path):
    plain = loading.load(loading.save(network, tmp_path / "plain.safetensors"))
    disturb(adapters.adapt(network, 3, alpha=6.0))
    path = adapters.save(network, tmp_path / "lora.safetensors")
    assert adapters.add(plain, path) == 22
    assert torch.allclose(velocity(plain), velocity(network), atol=1e-5)
    adapters.add(plain, path, strength=-1.0)
    assert torch.allclose(velocity(plain), velocity(loading.load(tmp_path / "plain.safetensors")), atol=1e-4)


def test_file_spells_its_keys_as_comfyuis_loader_reads_them(network, tmp_path):
    adapters.adapt(network, 3)
    header = loading.read_header(adapters.save(network, tmp_path / "lora.safetensors"))
    layer = "diffusion_model.blocks.1.mlp.down"
    assert header.shapes[f"{layer}.lora_A.weight"] == (3, 48)
    assert header.shapes[f"{layer}.lora_B.weight"] == (32, 3)
    assert header.shapes[f"{layer}.alpha"] == ()
    assert header.metadata["adapts"] == "video_dit"


def test_differences_as_comfyuis_trainer_writes_them_are_added(network, tmp_path):
    bias, weight = network.patch_in.bias.detach().clone(), network.blocks[0].mlp.up.weight.detach().clone()
    down, up = torch.randn(2, 32), torch.randn(48, 2)
    tensors = {
        "diffusion_model.patch_in.diff_b": torch.ones_like(bias),
        "diffusion_model.blocks.0.mlp.up.lora_up.weight": up,
        "diffusion_model.blocks.0.mlp.up.lora_down.weight": down,
        "diffusion_model.blocks.0.mlp.up.alpha": torch.tensor(1.0),
    }
    assert adapters.add(network, loading.write_tensors(tensors, tmp_path / "lora.safetensors")) == 2
    assert torch.equal(network.patch_in.bias, bias + 1)
    assert torch.allclose(network.blocks[0].mlp.up.weight, weight + 0.5 * up @ down, atol=1e-5)


def test_adapters_of_another_network_are_refused(network, tmp_path):
    tensors = {"diffusion_model.blocks.9.mlp.up.lora_A.weight": torch.ones(1, 4)}
    tensors["diffusion_model.blocks.9.mlp.up.lora_B.weight"] = torch.ones(4, 1)
    path = loading.write_tensors(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="choose a LoRA file that was trained on it"):
        adapters.add(network, path)


def test_checkpoint_in_the_place_of_adapters_is_refused(network, tmp_path):
    path = loading.save(network, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="choose a LoRA file"):
        adapters.add(network, path)


def test_rank_below_one_is_refused(network):
    with pytest.raises(ConfigError, match="at least 1"):
        adapters.adapt(network, 0)


def test_network_without_adapters_has_none_to_save(network, tmp_path):
    with pytest.raises(ConfigError, match="no adapters"):
        adapters.save(network, tmp_path / "lora.safetensors")
