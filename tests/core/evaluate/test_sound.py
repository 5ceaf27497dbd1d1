"""The sound bench: what it measures on real sound, on silence and on nonsense."""

import json

import pytest
import torch

from moviegen_core import toybox
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import sound as bench
from moviegen_core.evaluate.onsets import true_hits
from moviegen_core.models.sound_judge.model import SoundJudge, SoundJudgeConfig

CLASSES = {"kind": toybox.SOUND_KINDS, "ambience": toybox.AMBIENCES, "mood": toybox.MOODS}
JUDGE = SoundJudgeConfig(classes=CLASSES, channels=(8, 8), width=16, bands=16)


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return SoundJudge(JUDGE)


def test_real_sound_is_on_time_and_silence_is_silent_and_lengths_are_exact(judge):
    report = bench.measure(bench.real_sound, judge, clips=6, seconds=3.0, silent=1, long_seconds=0)
    assert report["sync"]["recall"] >= 0.85
    assert report["sync"]["median error (ms)"] < 10
    assert report["silence"]["loudest (dBFS)"] == -120.0
    assert report["silence"]["silent"] == 1.0
    assert not any(n for row in report["length"].values() for n in row.values())


def test_sound_of_another_scene_is_not_on_time():
    def late(scene, seconds, music, seed):
        return torch.roll(bench.real_sound(scene, seconds, music, seed), round(0.13 * 48_000), dims=1)

    assert bench.sync(late, 8, 3.0, lambda *_: None)["recall"] < 0.75


def test_report_becomes_a_table_with_a_column_per_source(judge):
    found = bench.measure(bench.real_sound, judge, clips=2, seconds=1.0, silent=1, long_seconds=0)
    table = bench.as_markdown({"sources": {"real": found, "codec": found}})
    assert "| | real | codec |" in table
    assert "median onset error" in table


def test_report_is_written_after_each_source(tmp_path):
    def stop_at_the_second(what, done, count):
        if what.startswith("codec"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.evaluate(
            tmp_path, sources="real, codec", clips=1, seconds=1.0, silent=0, long_seconds=0, on_clip=stop_at_the_second
        )
    assert list(json.loads((tmp_path / "sound.json").read_text())["sources"]) == ["real"]
    assert (tmp_path / "sound.md").is_file()


@pytest.mark.parametrize("seconds", [0.16, 0.2])
def test_clips_too_short_for_a_hit_are_refused(seconds):
    with pytest.raises(ConfigError, match=rf"within {seconds} s; give more"):
        next(bench.scenes_with_hits(1, seconds))


def test_unknown_source_is_refused_before_any_is_measured(tmp_path):
    told = []
    with pytest.raises(ConfigError, match="no source 'tape'"):
        bench.evaluate(tmp_path, sources="real,tape", clips=1, on_clip=lambda *what: told.append(what))
    assert not told
    with pytest.raises(ConfigError, match="real, codec or generated"):
        bench.maker("tape", "nano")
    with pytest.raises(ConfigError, match="at least 1"):
        bench.evaluate(tmp_path, clips=0)
    with pytest.raises(ConfigError, match="roughness -1 must lie from 0 to 2"):
        bench.evaluate(tmp_path, clips=1, roughness=-1.0)


def test_sound_on_every_hit_is_heard_and_by_chance_it_is_not():
    def knocks(scene, seconds, music, seed):
        waveform = torch.zeros(1, round(seconds * 48_000))
        for moment in true_hits(scene, seconds):
            waveform[0, round(moment * 48_000) :][:2000] = 0.5 * torch.sin(0.04 * torch.arange(2000))
        return waveform

    found = bench.sync(knocks, 10, 2.0, lambda *_: None)
    assert found["recall"] > 0.9
    assert 0 < found["recall by chance"] < 0.5
