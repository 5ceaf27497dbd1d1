"""Caches give back what was stored and refuse what another network made."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from moviegen_core import toybox
from moviegen_core.errors import CheckpointError
from moviegen_core.train import clips as clips_module
from moviegen_core.train.cache import ShardCache, pad_features
from moviegen_core.train.clips import ClipConfig, Clips, best_looking, hard, looks

ORIGIN = {"tae": "abc", "clips": {"size": 16}}
CONFIG = ClipConfig(count=6, size=16, kinds=((3, 16, 2), (2, 24, 1)))


def make(numbers):
    return [{"latent": torch.full((2, number + 1), number / 4), "ids": torch.tensor([number])} for number in numbers]


def filled(folder, count=10, origin=ORIGIN, made=None):
    def counted(numbers):
        if made is not None:
            made.extend(numbers)
        return make(numbers)

    cache = ShardCache(folder, count, origin, shard_size=4)
    cache.fill(counted, out=io.StringIO())
    return cache


def test_items_come_back_as_stored(tmp_path):
    cache = filled(tmp_path)
    assert torch.equal(cache[7]["latent"], torch.full((2, 8), 1.75))
    assert cache[7]["ids"].dtype == torch.int64
    assert cache.sizes("latent") == [(2, number + 1) for number in range(10)]


def test_cache_of_another_network_is_refused(tmp_path):
    filled(tmp_path)
    with pytest.raises(CheckpointError, match="another tae"):
        ShardCache(tmp_path, 10, {**ORIGIN, "tae": "other"}, shard_size=4)


def test_stale_cache_is_emptied_where_a_training_begins_anew(tmp_path):
    filled(tmp_path)
    origin = {**ORIGIN, "tae": "other"}
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    ShardCache(tmp_path, 10, ORIGIN, shard_size=4, anew=True)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    ShardCache(tmp_path, 10, origin, shard_size=4, anew=True)
    assert not list(tmp_path.glob("*.safetensors"))
    assert filled(tmp_path, origin=origin)[7]["ids"].item() == 7


def test_manifest_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            ShardCache(tmp_path, 10, ORIGIN)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"tae": "a', "[1]"])
def test_damaged_manifest_is_named_in_one_line(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(
        CheckpointError, match=r"manifest\.json is damaged; delete it if its folder was made with"
    ) as caught:
        ShardCache(tmp_path, 10, ORIGIN)
    assert "\n" not in str(caught.value)


def test_growing_cache_computes_only_what_is_new(tmp_path):
    filled(tmp_path, count=10)
    made: list[int] = []
    cache = filled(tmp_path, count=14, made=made)
    assert made == [8, 9, 10, 11, 12, 13]
    assert len(cache) == 14
    assert cache[13]["ids"].item() == 13


@pytest.mark.parametrize("content", [b"", b"\x00" * 40])
def test_damaged_shard_is_named_and_computed_again(tmp_path, content):
    filled(tmp_path)
    (tmp_path / "00001.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"00001\.safetensors cannot be read .*; fill the cache again"):
        ShardCache(tmp_path, 10, ORIGIN, shard_size=4)[5]
    made = []
    assert filled(tmp_path, made=made)[5]["ids"].item() == 5
    assert made == [4, 5, 6, 7]


def test_item_that_was_never_stored_is_refused(tmp_path):
    cache = filled(tmp_path)
    with pytest.raises(CheckpointError, match="fill"):
        cache[500]


def test_features_are_padded_and_absent_ones_masked():
    items = [{"ul2": torch.ones(2, 3)}, {"ul2": torch.ones(4, 3), "byt5": torch.ones(1, 5)}]
    batch = pad_features(items, ("ul2", "byt5", "metaclip"))
    assert batch["context.ul2"].shape == (2, 4, 3)
    assert batch["context_mask.ul2"].tolist() == [[True, True, False, False], [True] * 4]
    assert batch["context_mask.byt5"].tolist() == [[False], [True]]
    assert "context.metaclip" not in batch


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_are_drawn_once_and_as_the_world_draws_them(tmp_path, workers):
    clips = Clips(tmp_path, CONFIG)
    clips.fill(workers, io.StringIO())
    assert clips.missing() == []
    for number in (0, 2):
        frames, fps = CONFIG.kind(number)
        scene = clips.scene(number)
        assert scene == CONFIG.scene(number)
        assert np.array_equal(
            clips.pixels(number), toybox.render(scene, num_frames=frames, fps=fps, height=16, width=16)
        )


def test_clip_kinds_keep_their_shares():
    kinds = [CONFIG.kind(number) for number in range(6)]
    assert kinds.count((3, 16)) == 4
    assert kinds.count((2, 24)) == 2


def test_clips_may_show_chosen_motions_and_folders_without_are_what_they_were(tmp_path):
    config = replace(CONFIG, motions=("walk", "hop"))
    assert [config.scene(number).motion.kind for number in range(4)] == ["walk", "hop", "walk", "hop"]
    assert "motions" not in Clips.describe(CONFIG)
    Clips(tmp_path, CONFIG)
    with pytest.raises(CheckpointError, match="other motions"):
        Clips(tmp_path, config)


def test_clips_of_another_configuration_are_refused(tmp_path):
    Clips(tmp_path, CONFIG)
    with pytest.raises(CheckpointError, match="other size"):
        Clips(tmp_path, ClipConfig(count=6, size=32, kinds=CONFIG.kinds))


def test_clips_of_another_drawing_are_refused(tmp_path, monkeypatch):
    Clips(tmp_path, CONFIG)
    monkeypatch.setattr(clips_module, "drawing", lambda: "another")
    with pytest.raises(CheckpointError, match="other drawing"):
        Clips(tmp_path, CONFIG)


def test_best_looking_clips_score_no_lower_than_the_others(tmp_path):
    config = ClipConfig(count=12, size=16, kinds=((2, 16, 1),))
    clips = Clips(tmp_path, config)
    clips.fill(0, io.StringIO())
    chosen = best_looking(clips, range(12), 0.25)
    score = {number: looks(clips.scene(number), 2, 16) for number in range(12)}
    assert len(chosen) == 3
    assert min(score[number] for number in chosen) >= max(score[n] for n in range(12) if n not in chosen)
    assert all(0 <= value <= 1 for value in score.values())


def test_what_is_aloft_or_passes_a_panning_camera_is_hard_to_draw():
    assert hard(toybox.sample_scene(1, motion="orbit", camera="static"))
    assert hard(toybox.sample_scene(1, motion="hop", camera="pan left"))
    assert not hard(toybox.sample_scene(1, motion="hop", camera="static"))
