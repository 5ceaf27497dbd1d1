import json
import os
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import catalog, loading
from moviegen_core.models.video_dit.model import VideoDiTConfig

CONFIG = VideoDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, context_dims={"ul2": 6}, max_grid=(2, 2, 2))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return catalog.build("video_dit", CONFIG, device="cpu")


@pytest.fixture
def file(model, tmp_path):
    return loading.save(model, tmp_path / "video.safetensors", extra={"steps": 3})


def same(first, second):
    second = second.state_dict()
    return all(torch.equal(value, second[key]) for key, value in first.state_dict().items())


def test_saved_network_loads_with_config_weights_and_extra(model, file):
    header = loading.read_header(file)
    assert (header.network, header.extra) == ("video_dit", {"steps": 3})
    assert set(header.keys) == set(model.state_dict())
    assert header.parameters == catalog.count_parameters(model)
    loaded = loading.load(file)
    assert loaded.config == CONFIG
    assert same(model, loaded)
    assert not loaded.training
    assert [path.name for path in file.parent.iterdir()] == ["video.safetensors"]


def test_same_weights_give_the_same_bytes(model, tmp_path):
    files = [loading.save(model, tmp_path / f"{number}.safetensors", extra={"b": 1, "a": "é"}) for number in range(5)]
    assert len({file.read_bytes() for file in files}) == 1
    assert loading.read_header(files[0]).extra == {"b": 1, "a": "é"}


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_half_precision_file_loads_in_the_requested_dtype(model, tmp_path, stored):
    path = loading.save(model, tmp_path / "half.safetensors", dtype=stored)
    wide = loading.load(path, dtype=torch.float32)
    assert {parameter.dtype for parameter in wide.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in loading.load(path).parameters()} == {stored}
    torch.testing.assert_close(wide.patch_in.weight, model.patch_in.weight.to(stored).float())


@pytest.mark.parametrize("where", ["shards", "index", "first shard"])
def test_sharded_index_and_its_folder_load_like_one_file(model, file, tmp_path, where):
    folder = tmp_path / "sharded"
    folder.mkdir()
    weights, header = model.state_dict(), loading.read_header(file)
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for name, keys in shards.items():
        ours = where == "shards" or (where == "first shard" and name == "a.safetensors")
        metadata = header.metadata if ours else {"format": "pt"}  # as the Hugging Face library writes them
        save_file({key: weights[key] for key in keys}, folder / name, metadata=metadata)
    index = folder / "video.safetensors.index.json"
    told = {"metadata": {"total_size": 1, **header.metadata}} if where == "index" else {}
    places = {key: name for name, keys in shards.items() for key in keys}
    index.write_text(json.dumps({**told, "weight_map": places}))
    assert same(model, loading.load(index))
    assert same(model, loading.load(folder))
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"1 are missing \(b.safetensors\)"):
        loading.load(index)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_saved_file_may_be_read_by_whoever_may_read_new_files(model, tmp_path):
    (tmp_path / "plain").touch()
    saved = loading.save(model, tmp_path / "video.safetensors")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_wrong_keys_are_counted_and_the_first_five_named(model, file, tmp_path):
    header, weights = loading.read_header(file), model.state_dict()
    lost = sorted(weights)[:7]
    for key in lost:
        del weights[key]
    path = tmp_path / "lost.safetensors"
    save_file({**weights, "strange": torch.zeros(1)}, path, metadata=header.metadata)
    with pytest.raises(CheckpointError) as caught:
        loading.load(path)
    message = str(caught.value)
    assert all(part in message for part in (str(path), "'video_dit'", "7 are missing", "1 are unexpected (strange)"))
    assert all(key in message for key in lost[:5])
    assert lost[5] not in message
    assert "\n" not in message


def test_wrong_shape_is_refused_by_name(model, file, tmp_path):
    weights = model.state_dict() | {"null_token.weight": torch.zeros(2, 16)}
    save_file(weights, tmp_path / "shape.safetensors", metadata=loading.read_header(file).metadata)
    with pytest.raises(CheckpointError, match=r"null_token.weight \(2, 16\) instead of \(1, 16\)"):
        loading.load(tmp_path / "shape.safetensors")


def test_whole_numbers_in_the_place_of_weights_are_refused(model, file, tmp_path):
    weights = model.state_dict() | {"null_token.weight": torch.ones(1, 16, dtype=torch.int8)}
    save_file(weights, tmp_path / "whole.safetensors", metadata=loading.read_header(file).metadata)
    with pytest.raises(CheckpointError, match=r"whole numbers \(null_token.weight\); choose .* not quantised"):
        loading.load(tmp_path / "whole.safetensors")


@pytest.mark.parametrize(
    ("widths", "match"), [({"ul2": "192"}, "context_dims is {'ul2': '192'}"), ({"ul2": -3}, "negative dimension -3")]
)
def test_config_of_sizes_that_are_none_is_refused_in_one_line(model, file, tmp_path, widths, match):
    metadata = loading.read_header(file).metadata
    config = json.dumps({**json.loads(metadata["config"]), "context_dims": widths})
    save_file(model.state_dict(), tmp_path / "odd.safetensors", metadata=metadata | {"config": config})
    with pytest.raises(CheckpointError, match=f"its config is not valid: .*{match}") as caught:
        loading.load(tmp_path / "odd.safetensors")
    assert "\n" not in str(caught.value)


def damaged(kind, file, folder):
    """A damaged copy of a good file."""
    content = file.read_bytes()
    path = folder / f"{kind}.safetensors"
    (length,) = struct.unpack("<Q", content[:8])
    path.write_bytes(
        {
            "empty": b"",
            "cut": content[: len(content) // 2 + length // 2],
            "header": content[: 8 + length // 2],
            "long": content + b"\0",
            "text": b"<!DOCTYPE html><title>404</title>",
            "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        }[kind]
    )
    return path


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("empty", "not a safetensors file"),
        ("cut", "cut off.*fetch the file again"),
        ("header", "cut off.*fetch the file again"),
        ("long", "longer than its header says"),
        ("text", "not a safetensors file"),
        ("pointer", "git lfs pull"),
        ("picture", "not a safetensors file"),
    ],
)
def test_damaged_file_gets_one_clear_line(kind, match, file, tmp_path):
    with pytest.raises(CheckpointError, match=match) as caught:
        loading.load(damaged(kind, file, tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "entry", "match"),
    [
        ("patch_out.weight", {"dtype": "F32", "data_offsets": [0, 8]}, "its header cannot be read"),
        ("patch_out.weight", {"shape": [2], "data_offsets": [0, 8]}, "its header cannot be read"),
        ("patch_out.weight", {"dtype": "F32", "shape": ["two"], "data_offsets": [0, 8]}, "its header cannot be read"),
        ("__metadata__", ["format"], "its header cannot be read"),
        ("__metadata__", {"format": "moviegen", "config": 3}, "its header cannot be read"),
        ("__metadata__", {"format": "moviegen", "network": "tae", "config": "[1]"}, "metadata is damaged"),
        ("__metadata__", {"format": "moviegen", "config": "{}", "extra": "[1]"}, "metadata is damaged"),
    ],
)
def test_odd_header_gets_one_clear_line(key, entry, match, file, tmp_path):
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]) | {key: entry}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(CheckpointError, match=match) as caught:
        loading.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "change"),
    [
        ("video_dit", {"num_heads": 0}),
        ("tae", {"norm_groups": 0}),
        ("tae", {"spatial_strides": (2, 0, 2)}),
        ("sound_match", {"text_heads": 0}),
        ("vision", {"patch_size": 0}),
    ],
)
def test_config_that_counts_nothing_is_refused(network, change):
    entry = catalog.get(network)
    with pytest.raises(ConfigError, match=next(iter(change)).partition("_")[2]):
        replace(next(iter(entry.presets.values())), **change)


def test_foreign_safetensors_load_with_a_given_config_only(model, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({f"diffusion_model.{key}": value for key, value in model.state_dict().items()}, path)
    assert same(model, loading.load(path, network="video_dit", config=CONFIG))
    with pytest.raises(CheckpointError, match="no Movie Gen metadata"):
        loading.load(path, network="video_dit")


def test_file_of_another_network_or_config_is_refused(model, file, tmp_path):
    with pytest.raises(CheckpointError, match="holds the network 'video_dit', but 'tae' is needed"):
        loading.load(file, network="tae")
    metadata = loading.read_header(file).metadata
    for change, match in (
        ({"network": "dream"}, "'dream' is unknown"),
        ({"config": '{"dim": 16, "depth": 3}'}, "no field depth"),
        ({"config": "{"}, "damaged"),
        ({"version": "9"}, "version 9"),
    ):
        save_file(model.state_dict(), tmp_path / "changed.safetensors", metadata=metadata | change)
        with pytest.raises(CheckpointError, match=match):
            loading.load(tmp_path / "changed.safetensors")


def test_missing_files_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        loading.load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"holds no .safetensors"):
        loading.load(tmp_path)


def test_failed_write_leaves_the_old_file_and_nothing_else(model, file, monkeypatch):
    import safetensors.torch

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(CheckpointError, match=r"No space left on device.*free some space"):
        loading.save(model, file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_unknown_preset_and_network_list_the_known_ones():
    with pytest.raises(ConfigError, match="nano, 1b, 5b, upsampler, 30b"):
        catalog.build("video_dit", "7b")
    with pytest.raises(CheckpointError, match="video_dit, tae"):
        catalog.build("unet")
