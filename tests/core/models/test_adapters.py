"""Low-rank adapters on a network, in a file, and merged into weights."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

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
    assert adapters.Added(plain).add(path) == 22
    assert torch.allclose(velocity(plain), velocity(network), atol=1e-5)


def weak(network, path, size):
    """A file of adapters that change a weight by about `size`; weights are about 0.2, half a step of bf16 is 5e-4."""
    disturb(adapters.adapt(network, 3, alpha=20 * size))
    return adapters.save(network, path)


@pytest.mark.parametrize("kept", [True, False])
def test_weak_files_add_up_in_low_precision_and_leave_nothing_behind(network, tmp_path, kept):
    source = loading.save(network, tmp_path / "plain.safetensors", dtype=torch.bfloat16)
    low, before = (loading.load(source) for _ in range(2))
    wanted = loading.load(source, dtype=torch.float32)
    first = weak(network, tmp_path / "first.safetensors", 5e-5)
    second = shutil.copyfile(first, tmp_path / "second.safetensors")
    added = adapters.Added(low, None if kept else source)
    for _ in range(20):
        added.add(first)
        added.add(second, 2.0)
    adapters.Added(wanted).add(first, 60.0)
    for name, weight in low.named_parameters():
        torch.testing.assert_close(weight, wanted.get_parameter(name).bfloat16(), rtol=2**-7, atol=1e-6)
    assert not torch.equal(low.blocks[0].mlp.up.weight, before.blocks[0].mlp.up.weight)
    added.add(first, -20.0)
    added.add(second, -40.0)
    assert all(torch.equal(weight, before.get_parameter(name)) for name, weight in low.named_parameters())


@torch.no_grad()
def test_weak_files_are_added_before_the_weights_of_a_checkpoint_are_rounded(network, tmp_path):
    source = loading.save(network, tmp_path / "plain.safetensors")
    layer = network.blocks[0].mlp.up.weight
    path = weak(network, tmp_path / "weak.safetensors", 1e-4)
    exact, low = (loading.load(source, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    for built in (exact, low):
        adapters.Added(built, source).add(path)
    assert torch.equal(low.blocks[0].mlp.up.weight, exact.blocks[0].mlp.up.weight.bfloat16())
    # Every weight alone is changed by too little to show, all together are changed by as much as they should be.
    change = exact.blocks[0].mlp.up.weight - layer
    shown = low.blocks[0].mlp.up.weight.float() - layer.bfloat16().float()
    assert float((shown * change).sum() / change.square().sum()) == pytest.approx(1.0, abs=0.4)


class Products(TorchDispatchMode):
    """Counts matrix products, and how many of their results are in memory at once."""

    def __init__(self):
        super().__init__()
        self.made, self.held, self.peak = 0, [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mm.default:
            self.made += 1
            self.held = [one for one in self.held if not one.expired()] + [StorageWeakRef(result.untyped_storage())]
            self.peak = max(self.peak, len(self.held))
        return result


@torch.no_grad()
def test_weights_that_were_changed_since_they_were_loaded_stay_changed(network, tmp_path):
    source = loading.save(network, tmp_path / "plain.safetensors")
    file = weak(network, tmp_path / "lora.safetensors", 0.1)
    changed = loading.load(source)
    for parameter in changed.parameters():
        parameter.add_(1.0)
    own = {name: value.clone() for name, value in changed.state_dict().items()}
    added = adapters.Added(changed, source)
    added.add(file, 0.5)
    assert 0 < (changed.blocks[0].mlp.up.weight - own["blocks.0.mlp.up.weight"]).abs().max() < 0.9
    added.add(file, -0.5)
    assert all(torch.equal(value, own[name]) for name, value in changed.state_dict().items())


@pytest.mark.parametrize("kept", [False, True])
@torch.no_grad()
def test_file_that_is_interrupted_changes_nothing(network, tmp_path, monkeypatch, kept):
    source = loading.save(network, tmp_path / "plain.safetensors")
    file = weak(network, tmp_path / "lora.safetensors", 0.1)
    plain, changed = loading.load(source), loading.load(source)
    added = adapters.Added(changed, None if kept else source)
    products = iter([adapters.Gain.product] * 2)

    def product(gain, device):
        try:
            return next(products)(gain, device)
        except StopIteration:
            raise MemoryError from None

    with monkeypatch.context() as patch:
        patch.setattr(adapters.Gain, "product", product)
        with pytest.raises(MemoryError):
            added.add(file)
    assert same_weights(changed, plain)
    added.add(file)
    assert not same_weights(changed, plain)
    added.add(file, -1.0)
    assert same_weights(changed, plain)


def same_weights(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_checkpoint_that_was_replaced_since_is_not_read_again(network, tmp_path):
    source = loading.save(network, tmp_path / "plain.safetensors")
    file = weak(network, tmp_path / "lora.safetensors", 0.1)
    changed = loading.load(source)
    added = adapters.Added(changed, source)
    added.add(file)
    before = {name: value.clone() for name, value in changed.state_dict().items()}
    loading.save(changed, source)
    with pytest.raises(CheckpointError, match=r"plain\.safetensors was replaced since .* load the network anew"):
        added.add(file, -1.0)
    assert all(torch.equal(value, before[name]) for name, value in changed.state_dict().items())


def test_one_product_at_a_time_is_made(network, tmp_path):
    plain = loading.load(loading.save(network, tmp_path / "plain.safetensors"))
    path = adapters.save(disturb(adapters.adapt(network, 3)), tmp_path / "lora.safetensors")
    with Products() as products:
        adapters.Added(plain).add(path)
    assert (products.made, products.peak) == (22, 1)


@pytest.mark.parametrize("wrong", ["blocks.9.mlp.up", "blocks.0.mlp.down", "blocks.1.mlp.up"])
def test_file_that_fits_in_part_changes_nothing(network, tmp_path, wrong):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = {}
    for layer, rank in (("blocks.0.mlp.up", 1), (wrong, 2)):
        tensors[f"diffusion_model.{layer}.lora_A.weight"] = torch.ones(1, 32)
        tensors[f"diffusion_model.{layer}.lora_B.weight"] = torch.ones(48, rank)
    path = loading.write_tensors(tensors, tmp_path / "lora.safetensors")
    with Products() as products, pytest.raises(CheckpointError, match="trained on it"):
        adapters.Added(network).add(path)
    assert products.made == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


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
    assert adapters.Added(network).add(loading.write_tensors(tensors, tmp_path / "lora.safetensors")) == 2
    assert torch.equal(network.patch_in.bias, bias + 1)
    assert torch.allclose(network.blocks[0].mlp.up.weight, weight + 0.5 * up @ down, atol=1e-5)


def test_adapters_of_another_network_are_refused(network, tmp_path):
    tensors = {"diffusion_model.blocks.9.mlp.up.lora_A.weight": torch.ones(1, 4)}
    tensors["diffusion_model.blocks.9.mlp.up.lora_B.weight"] = torch.ones(4, 1)
    path = loading.write_tensors(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="choose a LoRA file that was trained on it"):
        adapters.Added(network).add(path)


def test_checkpoint_in_the_place_of_adapters_is_refused(network, tmp_path):
    path = loading.save(network, tmp_path / "plain.safetensors")
    with pytest.raises(CheckpointError, match="choose a LoRA file"):
        adapters.Added(network).add(path)


@pytest.mark.parametrize("rank", [0, 100_000])
def test_rank_that_no_layer_takes_is_refused_before_memory_is(network, rank):
    with pytest.raises(ConfigError, match=rf"rank {rank} is outside of what the layers of this network take; use 1 to"):
        adapters.adapt(network, rank)


def test_network_without_adapters_has_none_to_save(network, tmp_path):
    with pytest.raises(ConfigError, match="no adapters"):
        adapters.save(network, tmp_path / "lora.safetensors")
