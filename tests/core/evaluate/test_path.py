"""The bench that says where on its path to a clip the video model goes wrong."""

import json

import pytest
import torch

from moviegen_core import MovieGenPipeline
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import autoencoder, codec, films, judge, sound, text, text_to_video
from moviegen_core.evaluate import path as bench
from moviegen_core.evaluate.text_to_video import DEV_SEED, real_clip
from moviegen_core.toybox import sample_scene

CLIP = {"num_frames": 8, "fps": 16, "height": 32, "width": 32}


def test_clip_joined_late_is_nearer_to_the_real_one():
    pipeline = MovieGenPipeline.from_pretrained("nano", device="cpu", dtype="fp32")
    scene = sample_scene(5, split="test")
    real = real_clip(scene, CLIP)
    through = torch.cat(list(pipeline.reconstruct(real)), dim=2)
    told = [bench.retold(pipeline, scene, real, 16, 0, time, 4, 1.0) for time in (0.0, 0.9)]
    early, late = ((one - through).square().mean().item() for one in told)
    assert late < 0.2 * early


def test_report_has_a_column_for_each_time(tmp_path):
    told = []
    report = bench.evaluate(
        tmp_path, times="0,0.5", clips=1, num_frames=8, size=32, steps=2, on_clip=lambda *what: told.append(what)
    )
    assert set(report["joined"]) == {"0", "0.5"}
    assert told == [("path", 1, 1)]
    assert json.loads((tmp_path / "path.json").read_text()) == report
    assert (tmp_path / "path.md").read_text().startswith("| joined at | 0 | 0.5 |")


@pytest.mark.parametrize("times", ["", "0,1", "-0.1", "soon"])
def test_times_beyond_the_path_are_refused(times, tmp_path):
    with pytest.raises(ConfigError, match="from 0 to below 1"):
        bench.evaluate(tmp_path, times=times)


def test_scenes_are_none_that_another_bench_tests(tmp_path, monkeypatch):
    seeds = []

    def watched(seed, **settings):
        seeds.append(seed)
        return sample_scene(seed, **settings)

    monkeypatch.setattr(bench, "sample_scene", watched)
    bench.evaluate(tmp_path, times="0.5", clips=1, num_frames=8, size=32, steps=1)
    assert seeds[0] == DEV_SEED
    tested = (text_to_video.TEST_SEED, judge.SEED, autoencoder.SEED, sound.SEED, codec.SEED, films.SEED, text.SEED)
    assert all(not first <= seed < first + 1_000_000 for seed in seeds for first in tested)
