"""Windows of tokens about the subject."""

import numpy as np
import torch

from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.latents import Window

GRID = (4, 8, 8)


class Drawn:
    """Clips that are described, not rendered."""

    config = ClipConfig(count=40, kinds=((32, 16, 1),), first_seed=500)

    def scene(self, number):
        return self.config.scene(number)


def squares(kept, side):
    """Numbers of tokens -> [frames, 2]: row and column of each frame's square; every square must be whole."""
    frames, place = np.divmod(kept.numpy().reshape(GRID[0], side * side), 64)
    assert (frames == np.arange(4)[:, None]).all()
    rows, columns = np.divmod(place, 8)
    corners = np.stack([rows[:, 0], columns[:, 0]], axis=1)
    for frame, (row, column) in enumerate(corners):
        wanted = [(row + down) * 8 + column + across for down in range(side) for across in range(side)]
        assert place[frame].tolist() == wanted
    return corners


def test_windows_hold_the_subject_in_every_latent_frame():
    window = Window(Drawn(), 5, anywhere=0.0)
    for number in range(40):
        corners = squares(window.draw(number, GRID, np.random.default_rng(number)), 5)
        scene = Drawn.config.scene(number)
        for frame, (row, column) in enumerate(corners):
            x, y = scene.positions((8 * frame + 3.5) / 16)
            if 0 < x < 1 and 0 < y < 1:
                assert column - 1.5 < 8 * x < column + 6.5
                assert row - 1.5 < 8 * y < row + 6.5


def test_windows_that_follow_nothing_stand_still_and_reach_everywhere():
    window = Window(Drawn(), 3, anywhere=1.0)
    rng, seen = np.random.default_rng(0), torch.zeros(64, dtype=torch.bool)
    for _ in range(60):
        kept = window.draw(0, GRID, rng)
        assert len(np.unique(squares(kept, 3), axis=0)) == 1
        seen[kept[:9]] = True
    assert bool(seen.all())


def test_windows_are_cut_to_small_pictures():
    kept = Window(Drawn(), 5).draw(0, (2, 4, 8), np.random.default_rng(0))
    assert kept.shape == (2 * 4 * 5,)
    assert kept.unique().numel() == 40
