"""Averages are what their formulas say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from moviegen_core import cli
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import catalog, loading
from moviegen_core.models.sound_match.presets import NANO
from moviegen_core.train.average import EMA, average, average_files


def layer(value: float) -> nn.Linear:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def saved(path, value, config=NANO, dtype=None):
    """A sound match whose weights are all `value`."""
    network = catalog.build("sound_match", config, device="cpu")
    for parameter in network.parameters():
        nn.init.constant_(parameter, value)
    return loading.save(network, path, extra={"sampling": {"steps": value}}, dtype=dtype)


def test_files_are_averaged_by_their_shares_in_the_precision_of_the_first(tmp_path):
    files = [saved(tmp_path / "a.safetensors", 1.0, dtype=torch.float16), saved(tmp_path / "b.safetensors", 3.0)]
    for shares, wanted in ((None, 2.0), ([3.0, 1.0], 1.5)):
        mean = average_files(files, tmp_path / "mean.safetensors", shares)
        header = loading.read_header(mean)
        assert header.extra == {"sampling": {"steps": 1.0}}
        assert set(header.dtypes.values()) == {"F16"}
        network = loading.load(mean, network="sound_match")
        assert all(bool((value == wanted).all()) for value in network.parameters())


def test_files_of_other_sizes_or_too_few_are_refused(tmp_path):
    files = [saved(tmp_path / "a.safetensors", 1.0)]
    files.append(saved(tmp_path / "b.safetensors", 1.0, replace(NANO, dim=2 * NANO.dim)))
    with pytest.raises(CheckpointError, match="are not of one network and size; choose files of one preset"):
        average_files(files, tmp_path / "mean.safetensors")
    with pytest.raises(ConfigError, match="1 checkpoints were given; an average needs at least 2"):
        average_files(files[:1], tmp_path / "mean.safetensors")
    with pytest.raises(ConfigError, match="2 checkpoints need as many shares of a sum above 0"):
        average_files(files, tmp_path / "mean.safetensors", [1.0, -1.0])
    with pytest.raises(ConfigError, match="need as many shares"):
        average_files(files, tmp_path / "mean.safetensors", [1e308, 1e308])
    assert not (tmp_path / "mean.safetensors").exists()


def test_average_command_never_overwrites_a_source(tmp_path, capsys):
    files = [str(saved(tmp_path / f"{name}.safetensors", 1.0)) for name in "ab"]
    assert cli.main(["average", *files, "-o", files[1], "--force"]) == 2
    assert "was given and would be overwritten" in capsys.readouterr().err
    assert cli.main(["average", *files, "-o", str(tmp_path / "mean.safetensors")]) == 0
    assert (tmp_path / "mean.safetensors").is_file()


def test_ema_follows_its_recurrence():
    module = layer(0.0)
    ema, wanted = EMA(module, 0.5), 0.0
    for step in range(1, 6):
        nn.init.constant_(module.weight, step)
        ema.update(module)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * step
    assert ema.shadow["weight"].item() == pytest.approx(wanted)


def test_applied_ema_gives_the_own_weights_back_even_after_an_error():
    module = layer(1.0)
    ema = EMA(module, 0.9)
    nn.init.constant_(module.weight, 3.0)
    seen = []

    def fail() -> None:
        with ema.applied(module):
            seen.append(module.weight.item())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert seen == [1.0]
    assert module.weight.item() == 3.0


def test_frozen_parameters_are_not_averaged():
    module = nn.Sequential(layer(1.0), layer(2.0))
    module[0].requires_grad_(False)
    assert list(EMA(module, 0.9).shadow) == ["1.weight"]


def test_average_of_checkpoints_is_their_mean():
    states = [{"w": torch.tensor([1.0]), "n": torch.tensor(1)}, {"w": torch.tensor([4.0]), "n": torch.tensor(2)}]
    assert average(states)["w"].item() == pytest.approx(2.5)
    assert average(states)["n"].item() == 2


def test_averaging_different_networks_is_refused():
    with pytest.raises(CheckpointError, match="different networks"):
        average([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])
