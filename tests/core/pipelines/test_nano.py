"""The shipped nano models, from text to film."""

import pytest
import torch

from moviegen_core import MovieGenPipeline, weights
from moviegen_core.media.movie import read_movie
from moviegen_core.toybox import render, sample_scene

SHIPPED_LIMIT_BYTES = 52e6  # 40 of text to video, 12 of sound; every version stays in the history for ever
PARTS = (
    "nano/video", "nano/tae", "nano/ul2", "nano/metaclip", "nano/byt5",
    "nano/audio_codec", "nano/sound_match", "nano/metaclip_vision",
)  # fmt: skip
CLIP = {"num_frames": 9, "height": 64, "width": 96, "steps": 4, "guidance_scale": 3.0}


@pytest.fixture(scope="module")
def pipeline():
    return MovieGenPipeline.from_pretrained("nano", dtype="fp32")


def test_every_shipped_file_is_the_one_of_the_manifest_and_all_are_small():
    assert set(PARTS) <= set(weights.shipped())
    assert sum(weights.path(name).stat().st_size for name in weights.shipped()) <= SHIPPED_LIMIT_BYTES


def test_manifest_says_how_each_file_was_trained():
    for name, entry in weights.shipped().items():
        assert entry.recipe, name
        assert entry.steps is not None, name  # 0: the closed-form start was enough
        assert entry.commit, name


def test_one_seed_gives_one_clip_and_another_seed_another(pipeline):
    first, again, other = (pipeline("a red car on the beach", seed=seed, **CLIP).latent for seed in (3, 3, 4))
    assert first.equal(again)
    assert not torch.allclose(first, other, atol=0.1)


def test_prompt_decides_what_is_seen(pipeline):
    """Places are the first thing that is learned: a night sky must come out darker than a beach."""
    size = {**CLIP, "height": 128, "width": 128, "steps": 8}
    night, beach = (
        pipeline(prompt, seed=5, **size).frames().mean()
        for prompt in ("A white star spins in outer space.", "A white star spins on a sunny sandy beach.")
    )
    assert beach - night > 0.3


def test_film_is_written_with_every_frame(pipeline, tmp_path):
    film = pipeline("a red car on the beach", seed=3, **CLIP)
    movie = read_movie(film.save(tmp_path / "film.mp4"))
    assert movie.pixels().shape == (3, 9, 64, 96)
    assert float(movie.fps) == 16


def test_autoencoder_gives_a_clip_back_better_than_its_mean_colours(pipeline):
    scene = sample_scene(7_900_000, split="test", camera="static")
    frames = torch.from_numpy(render(scene, num_frames=16, fps=16, height=128, width=128))
    real = frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    made = torch.cat(list(pipeline.reconstruct(real)), dim=2)
    blocks = torch.nn.functional.avg_pool3d(real, 8)
    coarse = torch.nn.functional.interpolate(blocks, size=real.shape[2:], mode="nearest")
    assert (made - real).square().mean() < 0.5 * (coarse - real).square().mean()
    with torch.no_grad():
        latent = pipeline.tae.encode(real)
    assert 0.5 < float(latent.std()) < 2.0
