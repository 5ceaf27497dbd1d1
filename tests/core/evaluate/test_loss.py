"""The bench that compares trainings by what they predict of clips that none saw."""

import json

import pytest
import torch

from moviegen_core import MovieGenPipeline
from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.evaluate import autoencoder, codec, films, judge, sound, text, text_to_video
from moviegen_core.evaluate import loss as bench
from moviegen_core.evaluate.text_to_video import DEV_SEED
from moviegen_core.pipelines.soundtrack import SoundPipeline
from moviegen_core.toybox import sample_scene

CLIP = {"num_frames": 8, "fps": 16, "height": 128, "width": 128}  # the size that the model knows


def test_worse_weights_have_larger_errors_and_the_same_ones_the_same():
    pipeline = MovieGenPipeline.from_pretrained("nano", device="cpu", dtype="fp32")
    scene, times = sample_scene(5, split="test"), [0.2, 0.8]
    first, again = (bench.clip_errors(pipeline, scene, CLIP, 3, times) for _ in range(2))
    assert first == again
    with torch.no_grad():
        pipeline.video.patch_out.weight.zero_()
        pipeline.video.patch_out.bias.zero_()
    nothing = bench.clip_errors(pipeline, scene, CLIP, 3, times)
    assert all(one < 0.9 * other for one, other in zip(first, nothing, strict=True))


def test_report_has_a_column_for_each_time(tmp_path):
    told = []
    report = bench.evaluate(
        tmp_path, times="0.1,0.5", clips=2, num_frames=8, size=32, on_clip=lambda *what: told.append(what)
    )
    assert set(report["times"]) == {"0.1", "0.5"}
    assert report["mean"] == pytest.approx(sum(report["times"].values()) / 2)
    assert told == [("loss", 1, 2), ("loss", 2, 2)]
    assert json.loads((tmp_path / "loss.json").read_text()) == report
    assert (tmp_path / "loss.md").read_text().startswith("| time | 0.1 | 0.5 | mean |")


def test_worse_sound_weights_have_larger_errors_and_the_same_ones_the_same():
    pipeline = SoundPipeline.from_pretrained("nano", device="cpu", dtype="fp32")
    scene, times = sample_scene(5, split="test"), [0.2, 0.8]
    first, again = (bench.sound_errors(pipeline, scene, {"seconds": 2.0}, 3, times) for _ in range(2))
    assert first == again
    with torch.no_grad():
        for parameter in pipeline.parts.model.latent_out.parameters():
            parameter.zero_()
    nothing = bench.sound_errors(pipeline, scene, {"seconds": 2.0}, 3, times)
    assert all(one < 0.95 * other for one, other in zip(first, nothing, strict=True))


def test_report_of_the_sound_transformer_says_what_it_was_asked_about(tmp_path):
    report = bench.evaluate(tmp_path, network="audio", times="0.3", clips=1, seconds=1.0)
    assert report["network"] == "audio"
    assert report["clip"] == {"seconds": 1.0}
    assert 0 < report["mean"] < 3


@pytest.mark.parametrize(("network", "seconds"), [("tae", 4.0), ("audio", 0.0), ("audio", 1e6)])
def test_unknown_networks_and_lengths_are_refused(tmp_path, network, seconds):
    with pytest.raises((ConfigError, MediaError), match=r"use|must last|at most 1800 s"):
        bench.evaluate(tmp_path, network=network, seconds=seconds, clips=1)


def test_no_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        bench.evaluate(tmp_path, clips=0)


def test_scenes_are_none_that_another_bench_tests(tmp_path, monkeypatch):
    seeds = []

    def watched(seed, **settings):
        seeds.append(seed)
        return sample_scene(seed, **settings)

    monkeypatch.setattr(bench, "sample_scene", watched)
    bench.evaluate(tmp_path, times="0.5", clips=2, num_frames=8, size=32)
    assert seeds[0] == DEV_SEED
    tested = (text_to_video.TEST_SEED, judge.SEED, autoencoder.SEED, sound.SEED, codec.SEED, films.SEED, text.SEED)
    assert all(not first <= seed < first + 1_000_000 for seed in seeds for first in tested)
