"""The autoencoder's bench measures, and writes what it measured."""

from __future__ import annotations

import json
import math

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import autoencoder
from moviegen_core.models import loading
from moviegen_core.models.tae.model import TAE
from moviegen_core.models.tae.presets import NANO


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    torch.manual_seed(0)
    tae = TAE(NANO)
    tae.reset_parameters()
    return loading.save(tae, tmp_path_factory.mktemp("tae") / "tae.safetensors")


def test_bench_writes_its_figures_and_a_sheet(tmp_path, untrained):
    seen = []
    report = autoencoder.evaluate(
        tmp_path,
        model=str(untrained),
        clips=1,
        tiled=1,
        num_frames=8,
        size=32,
        on_clip=lambda *facts: seen.append(facts),
    )
    assert json.loads((tmp_path / "tae.json").read_text()) == report
    assert (tmp_path / "tae.png").is_file()
    assert len(report["psnr_db_by_frame"]) == 8
    assert report["psnr_db"] < 30
    by_frame = report["psnr_db_by_frame"]  # of one clip, so that their mean is that over all frames
    assert report["psnr_db_mean_of_frames"] == pytest.approx(sum(by_frame) / 8)
    assert report["psnr_db_mean_of_frames"] > report["psnr_db_mean_of_clips"] == report["psnr_db"]
    assert seen == [("tae", 1, 1)]


def test_bench_takes_short_clips_and_refuses_none(tmp_path, untrained):
    report = autoencoder.evaluate(tmp_path, model=str(untrained), clips=1, tiled=0, num_frames=2, size=32)
    assert len(report["psnr_db_by_frame"]) == 2
    for asked in ({"clips": 0}, {"tiled": -1}):
        with pytest.raises(ConfigError, match="at least 1"):
            autoencoder.evaluate(tmp_path, model=str(untrained), **asked)


def test_report_without_tiles_says_nothing_of_them(tmp_path, untrained):
    report = autoencoder.evaluate(tmp_path, model=str(untrained), clips=1, tiled=0, num_frames=2, size=32)
    assert "tiled_against_whole_psnr_db" not in report
    assert "Infinity" not in (tmp_path / "tae.json").read_text()


def test_deviation_of_latents_is_that_of_all_clips_together():
    assert autoencoder.pooled_std([(1.0, 0.0), (-1.0, 0.0)]) == pytest.approx(1.0)
    assert autoencoder.pooled_std([(0.5, 2.0), (0.5, 2.0)]) == pytest.approx(2.0)


def test_mean_psnr_is_that_of_the_mean_error():
    assert autoencoder.mean_psnr([20.0, 40.0]) == pytest.approx(-10 * math.log10((1e-2 + 1e-4) / 2))
    assert autoencoder.mean_psnr([math.inf]) == math.inf


def test_bench_clips_are_the_same_each_time_and_differ_from_each_other():
    first, again, other = (autoencoder.real_clip(number, 2, 16, 32) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
