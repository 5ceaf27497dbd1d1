import pytest
import torch

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.media.colour import METHODS, anchor_colour, colour_statistics


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).clamp(-2.5, 2.5)


REFERENCE = 0.5 + 0.12 * noise(2, 24, 20, 3, seed=3)


def drifting(frames: int = 40) -> torch.Tensor:
    """The reference's colours, slowly turning warm and losing contrast."""
    time = torch.linspace(0, 1, frames).view(-1, 1, 1, 1)
    return 0.5 + 0.12 * noise(frames, 24, 20, 3) * (1 - 0.4 * time) + time * torch.tensor([0.12, 0.02, -0.1])


def test_one_map_gives_the_clip_the_references_mean_and_covariance():
    clip = 0.6 + 0.1 * noise(5, 24, 20, 3) @ torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 0.5]])
    moved = colour_statistics(anchor_colour(clip, REFERENCE, smoothing=0)).pooled()
    wanted = colour_statistics(REFERENCE).pooled()
    torch.testing.assert_close(moved.mean, wanted.mean, atol=2e-3, rtol=0)
    torch.testing.assert_close(moved.covariance, wanted.covariance, atol=1e-3, rtol=0)


def test_mean_std_gives_each_channel_the_references_contrast():
    clip = 0.5 + 0.05 * noise(4, 24, 20, 3)
    moved, wanted = (
        colour_statistics(one).pooled().covariance.diagonal(dim1=1, dim2=2)
        for one in (anchor_colour(clip, REFERENCE, smoothing=0, method="mean_std"), REFERENCE)
    )
    torch.testing.assert_close(moved, wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_slow_drift_is_taken_out(method):
    clip = drifting()
    before, after = (
        colour_statistics(one).mean for one in (clip, anchor_colour(clip, REFERENCE, smoothing=3, method=method))
    )
    assert (before[-1] - before[0]).abs().max() > 0.08
    assert (after[-1] - after[0]).abs().max() < 0.03


def test_a_flash_stays_and_its_neighbours_hardly_move():
    clip = drifting(40) * 0 + REFERENCE[:1]
    clip[20] = (clip[20] + 0.3).clamp(max=1)
    moved = anchor_colour(clip, REFERENCE, smoothing=8)
    assert moved[20].mean() - moved[10].mean() > 0.2
    steps = colour_statistics(moved).mean.diff(dim=0).abs()
    steps[19:21] = 0
    assert steps.max() < 0.01


def test_a_clip_with_the_references_colours_is_left_alone():
    torch.testing.assert_close(
        anchor_colour(REFERENCE, REFERENCE, smoothing=0), REFERENCE.clamp(0, 1), atol=1e-4, rtol=0
    )


def test_no_strength_changes_nothing_and_alpha_never_changes():
    clip = torch.rand(9, 6, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(anchor_colour(clip, REFERENCE, strength=0.0), clip, atol=1e-6, rtol=0)
    moved = anchor_colour(clip, REFERENCE)
    assert torch.equal(moved[..., 3], clip[..., 3])
    assert not torch.allclose(moved[..., :3], clip[..., :3], atol=1e-2)


def test_flat_pictures_keep_their_quiet():
    flat = torch.full((3, 8, 8, 3), 0.2) + 1e-4 * noise(3, 8, 8, 3)
    assert anchor_colour(flat, REFERENCE).std() < 0.01


def test_impossible_requests_are_refused():
    clip = torch.rand(2, 4, 4, 3)
    with pytest.raises(ConfigError, match="covariance, mean_std, mean"):
        anchor_colour(clip, clip, method="hue")
    with pytest.raises(ConfigError, match="0 changes nothing"):
        anchor_colour(clip, clip, strength=2.0)
    with pytest.raises(ShapeError, match="colours need"):
        anchor_colour(clip[..., :1], clip)


def test_frames_are_counted_twice_and_a_broken_one_spoils_no_other():
    clip, counted = drifting(20), []
    whole = anchor_colour(clip, REFERENCE, on_frames=counted.append)
    assert counted == [8, 16, 20, 28, 36, 40]
    clip[7] = float("nan")
    broken = anchor_colour(clip, REFERENCE, smoothing=1.0)
    assert bool(broken[torch.arange(20) != 7].isfinite().all())
    assert whole.shape == broken.shape
    with pytest.raises(KeyboardInterrupt):
        anchor_colour(clip, REFERENCE, on_frames=lambda done: raise_(KeyboardInterrupt()))


def raise_(error):
    raise error
