"""Foreign checkpoints become ours, and no pickle is executed."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from moviegen_core.errors import CheckpointError
from moviegen_core.models import catalog, conversion, loading
from moviegen_core.models.video_dit.model import VideoDiTConfig

CONFIG = VideoDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, context_dims={"ul2": 6}, max_grid=(2, 2, 2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return catalog.build("video_dit", CONFIG, device="cpu")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["weights.pth", "weights.ckpt", "weights.safetensors"])
@pytest.mark.parametrize("raw", [False, True])
def test_pickle_is_told_by_its_content_and_never_executed(name, raw, tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / name
    content = {"weight": torch.zeros(2), "trap": Trap(sprung)}
    if raw:
        path.write_bytes(pickle.dumps(content, protocol=4))
    else:
        torch.save(content, path)
        assert zipfile.is_zipfile(path)
    with pytest.raises(CheckpointError, match="moviegen convert"):
        loading.load(path)
    with pytest.raises(CheckpointError, match="ask for safetensors"):
        conversion.convert(path, tmp_path / "out.safetensors", network="video_dit", config=CONFIG)
    assert not sprung.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
def test_pickle_that_is_cut_off_is_told_as_such(kept, raw, model, tmp_path):
    path = tmp_path / "cut.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not raw)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"cut.pth \(\d+ bytes\) is cut off or damaged; fetch the file again"):
        conversion.convert(path, tmp_path / "out.safetensors", network="video_dit", config=CONFIG)
    assert not (tmp_path / "out.safetensors").exists()


def test_archive_with_a_damaged_entry_is_told_as_such(model, tmp_path):
    path = tmp_path / "damaged.pth"
    torch.save(model.state_dict(), path)
    content = path.read_bytes()
    entry = content.index(b"PK\x03\x04", len(content) // 2)
    path.write_bytes(content[:entry] + b"\0\0" + content[entry + 2 :])
    with pytest.raises(CheckpointError, match="is cut off or damaged"):
        conversion.convert(path, tmp_path / "out.safetensors", network="video_dit", config=CONFIG)


def test_plain_pickle_is_converted_through_a_key_map(model, tmp_path):
    foreign = {f"model.diffusion_model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": foreign}, tmp_path / "foreign.pth")
    path = conversion.convert(
        tmp_path / "foreign.pth", tmp_path / "ours.safetensors", network="video_dit", config=loading.to_dict(CONFIG)
    )
    loaded = loading.load(path).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in model.state_dict().items())


def test_file_of_ours_needs_no_conversion(model, tmp_path):
    with pytest.raises(CheckpointError, match="use it as it is"):
        conversion.convert(loading.save(model, tmp_path / "video.safetensors"), tmp_path / "again.safetensors")


def test_average_of_a_training_is_taken_where_it_is_of_the_same_weights(model, tmp_path, caplog):
    mean = {name: value + 1.0 for name, value in model.state_dict().items()}
    for name, ema in (("mean", mean), ("other", {"shadow": mean})):
        path = tmp_path / f"{name}.pth"
        torch.save({"model": model.state_dict(), "ema": ema}, path)
        conversion.convert(path, tmp_path / f"{name}.safetensors", network="video_dit", config=CONFIG)
    taken = {name: loading.load(tmp_path / f"{name}.safetensors").patch_in.weight for name in ("mean", "other")}
    assert torch.equal(taken["mean"], model.patch_in.weight + 1.0)
    assert torch.equal(taken["other"], model.patch_in.weight)
    assert "mean.pth holds model and ema; ema is converted" in caplog.text
