"""The bench of generated clips, with real ones in the place of generated ones."""

import json

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import text_to_video
from moviegen_core.pipelines.film import Film
from moviegen_core.toybox import sample_scene


class Drawing:
    """A pipeline whose autoencoder gives back what it gets."""

    def reconstruct(self, pixels):
        yield pixels


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(text_to_video.MovieGenPipeline, "from_pretrained", lambda model: Drawing())
    monkeypatch.setattr(
        text_to_video, "generate", lambda pipeline, scene, seed, clip, how: text_to_video.real_clip(scene, clip)
    )


def test_real_clips_in_the_place_of_generated_ones_reach_the_ceiling(drawn, tmp_path):
    report = text_to_video.evaluate(tmp_path, prompts=3, held_out=2, falling=2)
    assert report["test"]["generated"] == report["test"]["real"] == report["test"]["real through the autoencoder"]
    assert (report["test"]["clips"], report["heldout"]["clips"]) == (3, 2)
    assert report["gravity"]["generated"] == report["gravity"]["real"]
    assert json.loads((tmp_path / "video.json").read_text()) == report
    assert "held-out combinations: real" in (tmp_path / "video.md").read_text()


def test_pipeline_of_another_precision_is_judged_on_its_pixels(monkeypatch, tmp_path):
    class Half:
        """A pipeline in bf16 that draws one clip, whatever it is told."""

        def __call__(self, prompt, *, seed, steps, guidance_scale, temperature, **clip):
            pixels = text_to_video.real_clip(sample_scene(1), clip).bfloat16()
            return Film(torch.empty(0), clip["num_frames"], clip["fps"], lambda *_: iter(pixels.split(16, dim=2)))

        def reconstruct(self, pixels):
            yield from pixels.bfloat16().split(16, dim=2)

    monkeypatch.setattr(text_to_video.MovieGenPipeline, "from_pretrained", lambda model: Half())
    report = text_to_video.evaluate(tmp_path, prompts=1, held_out=0, falling=1, num_frames=24, size=64)
    assert report["test"]["real through the autoencoder"] == report["test"]["real"]


def test_what_was_not_asked_for_is_left_out_of_the_report(drawn, tmp_path):
    report = text_to_video.evaluate(tmp_path, prompts=1, held_out=0, falling=0)
    assert not {"heldout", "gravity"} & set(report)
    table = (tmp_path / "video.md").read_text()
    assert not [word for word in ("nan", "held-out", "Gravity") if word in table]


@pytest.mark.parametrize("counts", [{"prompts": 0}, {"prompts": 1, "held_out": -1}, {"prompts": 1, "falling": -2}])
def test_impossible_counts_are_refused(tmp_path, counts):
    with pytest.raises(ConfigError, match="at least 1, 0, 0"):
        text_to_video.evaluate(tmp_path, **counts)
