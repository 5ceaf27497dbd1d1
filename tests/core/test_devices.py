"""Device and dtype choice: right on this machine, refused elsewhere."""

import pytest
import torch
from torch import nn

from moviegen_core import devices
from moviegen_core.errors import BackendError


def test_chosen_device_is_usable_and_its_reason_is_one_line():
    placement = devices.choose()
    torch.ones(1, device=placement.device, dtype=placement.dtype)
    assert str(placement.device) == devices.usable_devices()[0]
    assert placement.reason
    assert "\n" not in str(placement)


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cpu_dtype_follows_the_processor_probes(monkeypatch, fast, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert devices.choose("cpu").dtype is dtype


def test_explicit_dtype_is_taken_in_short_and_long_form():
    assert devices.choose("cpu", "bf16").dtype is torch.bfloat16
    assert devices.choose("cpu", torch.float32).dtype is torch.float32


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as torch tells of it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def launched(monkeypatch, rank):
    """The environment of one of several processes that torchrun starts."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", str(rank))


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_each_process_of_torchrun_gets_a_gpu_of_its_own(monkeypatch, two_gpus, device):
    assert str(devices.choose(device).device) == "cuda:0"
    for rank in range(2):
        launched(monkeypatch, rank)
        assert str(devices.choose(device).device) == f"cuda:{rank}"
    assert str(devices.choose("cuda:0").device) == "cuda:0"
    assert str(devices.choose("cpu").device) == "cpu"
    launched(monkeypatch, 2)
    with pytest.raises(BackendError, match=r"needs cuda:2, .*start one process a GPU"):
        devices.choose(device)


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "xpu"])
def test_unusable_device_is_refused_with_the_usable_ones(device):
    with pytest.raises(BackendError, match=r"use auto or one of .*cpu"):
        devices.choose(device)


def test_unknown_dtype_is_refused_with_the_known_ones():
    with pytest.raises(BackendError, match="use auto or one of bfloat16"):
        devices.choose("cpu", "int4")
    with pytest.raises(BackendError, match=r"torch\.int8.* is unknown; use auto or one of bfloat16"):
        devices.choose("cpu", torch.int8)


@pytest.mark.parametrize("residency", [devices.stay, devices.visit])
def test_network_is_on_the_device_during_the_block(residency):
    network = nn.Linear(2, 2)
    with residency(network, torch.device("meta")) as placed:
        assert placed is network
        assert network.weight.device.type == "meta"
        network.to_empty(device="cpu")


def test_visiting_network_is_what_it_was_even_after_an_error():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network.append(network[0])  # tied, as T5's embeddings are
    before = {name: (value, value.data_ptr()) for name, value in network.state_dict(keep_vars=True).items()}
    with pytest.raises(RuntimeError, match="stop"), devices.visit(network, torch.device("meta")):
        raise RuntimeError("stop")
    after = network.state_dict(keep_vars=True)
    assert all(after[name] is value and value.data_ptr() == place for name, (value, place) in before.items())
    assert network[2] is network[0]


def test_network_whose_tensors_were_exchanged_in_place_goes_home():
    """As on a GPU, where `to` keeps the parameters and gives them other contents."""

    class InPlace(nn.Linear):
        def to(self, device):
            for value in self.parameters():
                value.data = value.data.clone()
            return self

    network = InPlace(2, 2)
    home = [value.data_ptr() for value in network.parameters()]
    with devices.visit(network, torch.device("cpu")):
        away = [value.data_ptr() for value in network.parameters()]
    assert not set(home) & set(away)
    assert [value.data_ptr() for value in network.parameters()] == home


def test_network_goes_home_with_the_last_of_its_blocks():
    network, meta = nn.Linear(2, 2), torch.device("meta")
    first, second = devices.visit(network, meta), devices.visit(network, meta)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert network.weight.device == meta
    second.__exit__(None, None, None)
    assert network.weight.device.type == "cpu"
