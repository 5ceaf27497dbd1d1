"""Finding and verifying weight files."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from moviegen_core import lock, weights
from moviegen_core.errors import CheckpointError, ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of shipped weights with one entry."""
    (tmp_path / "video.safetensors").write_bytes(b"weights " * 200)
    weights.register(
        "nano/video", tmp_path / "video.safetensors", tmp_path, network="video_dit", recipe="video", seed=3
    )
    return tmp_path


def test_registered_file_is_found_and_verified(folder):
    assert weights.path("nano/video", folder) == folder / "video.safetensors"
    assert weights.resolve("nano/video", folder) == folder / "video.safetensors"
    entry = weights.shipped(folder)["nano/video"]
    assert entry.sha256 == hashlib.sha256(b"weights " * 200).hexdigest()
    assert (entry.bytes, entry.network, entry.recipe, entry.seed) == (1600, "video_dit", "video", 3)


def test_facts_added_later_keep_the_earlier_ones(folder):
    file = folder / "video.safetensors"
    entry = weights.register("nano/video", file, folder, evaluation={"psnr": 31.5}, sampling={"guidance_scale": 4.0})
    assert (entry.recipe, entry.seed, entry.evaluation) == ("video", 3, {"psnr": 31.5})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["nano/video"]["sampling"] == {"guidance_scale": 4.0}
    assert "name" not in manifest["files"]["nano/video"]
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_entries_that_are_registered_at_once_are_all_kept(folder):
    names = [f"nano/part{number}" for number in range(16)]
    for name in names:
        (folder / name.removeprefix("nano/")).write_bytes(name.encode())
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: weights.register(name, folder / name.removeprefix("nano/"), folder), names))
    assert set(weights.shipped(folder)) == {"nano/video", *names}


def test_manifest_that_another_process_holds_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(lock, "LOCK_SECONDS", 0.1)
    before = (folder / "manifest.json").read_bytes()
    with (
        lock.alone(folder / "manifest.json"),
        pytest.raises(CheckpointError, match=r"locked for 0\.1 s by another process; wait"),
    ):
        weights.register("nano/video", folder / "video.safetensors", folder, seed=4)
    assert (folder / "manifest.json").read_bytes() == before


def test_other_weights_keep_nothing_of_the_entry_but_the_network(folder):
    file = folder / "video.safetensors"
    weights.register("nano/video", file, folder, evaluation={"psnr": 31.5}, averaged=[{"sha256": "a"}], steps=9)
    file.write_bytes(b"better weights " * 200)
    entry = weights.register("nano/video", file, folder, recipe="other")
    kept = weights.Shipped(
        name="nano/video", file=file.name, network="video_dit", sha256=entry.sha256, bytes=3000, recipe="other"
    )
    assert entry == kept


def test_new_weights_take_their_place_together_with_their_entry(folder, monkeypatch):
    file, made = folder / "video.safetensors", folder / "made"
    before = file.read_bytes()

    def stopped(source, target):
        raise KeyboardInterrupt

    made.write_bytes(b"better weights " * 200)
    with monkeypatch.context() as patch:
        patch.setattr(weights.os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            weights.register("nano/video", file, folder, made=made)
    assert weights.path("nano/video", folder).read_bytes() == before
    weights.register("nano/video", file, folder, made=made)
    assert weights.path("nano/video", folder).read_bytes() == b"better weights " * 200
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "video.safetensors"]


def test_weights_tell_what_they_were_trained_on_from(folder, tmp_path_factory):
    file = folder / "first.bin"
    file.write_bytes(b"first")
    first = weights.register(
        "nano/first", file, folder, recipe="nano-thing", seed=3, steps=10, settings={"minutes": "4"}
    )
    told = {"sha256": first.sha256, "recipe": "nano-thing", "seed": 3, "steps": 10, "settings": {"minutes": "4"}}
    assert weights.lineage("nano/first", folder) == weights.lineage(file, folder) == [told]
    second = folder / "second.bin"
    second.write_bytes(b"second")
    weights.register("nano/second", second, folder, ancestors=[told])
    grandparents = weights.lineage("nano/second", folder)
    assert [entry["sha256"] for entry in grandparents] == [first.sha256, weights.shipped(folder)["nano/second"].sha256]
    stray = tmp_path_factory.mktemp("elsewhere") / "stray.bin"
    stray.write_bytes(b"first")
    assert weights.lineage(stray, folder) == [{"sha256": first.sha256}]
    parts = [{"sha256": "a", "steps": 3}, {"sha256": "b", "steps": 4}]
    weights.register("nano/second", second, folder, averaged=parts)
    assert weights.lineage("nano/second", folder)[-1]["averaged"] == parts


def test_changed_file_is_refused(folder):
    (folder / "video.safetensors").write_bytes(b"weightz " * 200)
    with pytest.raises(CheckpointError, match="does not match the sha256"):
        weights.path("nano/video", folder)


def test_truncated_file_is_refused(folder):
    (folder / "video.safetensors").write_bytes(b"weights " * 150)
    with pytest.raises(CheckpointError, match="1200 bytes, its manifest says 1600"):
        weights.path("nano/video", folder)


def test_missing_file_is_refused_with_the_way_to_get_it(folder):
    (folder / "video.safetensors").unlink()
    with pytest.raises(CheckpointError, match="make nano"):
        weights.path("nano/video", folder)


def test_misspelt_name_gets_the_nearest(folder):
    with pytest.raises(CheckpointError, match="did you mean nano/video"):
        weights.resolve("nano/vidoe", folder)


def test_user_paths_are_taken_as_they_are(folder, tmp_path):
    assert weights.resolve(tmp_path, folder) == tmp_path
    with pytest.raises(CheckpointError, match=r"neither shipped weights nor a file or folder at .*missing"):
        weights.resolve(tmp_path / "missing.safetensors", folder)


def test_empty_name_is_refused(folder):
    with pytest.raises(CheckpointError, match="empty name"):
        weights.resolve(" ", folder)


def test_damaged_manifest_is_named(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
        weights.shipped(folder)


def test_file_outside_the_folder_cannot_be_registered(folder, tmp_path_factory):
    stray = tmp_path_factory.mktemp("elsewhere") / "x.safetensors"
    stray.write_bytes(b"x")
    with pytest.raises(ConfigError, match="copy it there"):
        weights.register("nano/x", stray, folder, network="tae")


def test_unknown_fact_is_refused(folder):
    with pytest.raises(ConfigError, match="colour"):
        weights.register("nano/video", folder / "video.safetensors", folder, colour="red")
