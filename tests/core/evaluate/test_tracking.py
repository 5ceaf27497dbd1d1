import numpy as np
import pytest
import torch

from moviegen_core.evaluate.tracking import track

SIZE = 64


def moving_square(frames=12, unseen=()):
    """A white square of twelve pixels that crosses a grey frame; black stripes stay behind it."""
    clip = torch.zeros(3, frames, SIZE, SIZE)
    clip[..., ::8, :] = -1.0
    for frame in set(range(frames)) - set(unseen):
        clip[:, frame, 26:38, 4 * frame : 4 * frame + 12] = 1.0
    return clip


def test_track_follows_what_moves_in_frame_heights():
    centres = track(moving_square())
    columns = (4 * np.arange(12) + 5.5) / SIZE
    # Alike in all frames is the square wherever one holds it: its place is known but for a constant.
    assert np.ptp(centres[:, 0] - columns) < 0.02
    assert np.abs(centres[:, 0] - columns).max() < 0.03
    assert centres[:, 1] == pytest.approx(31.5 / SIZE, abs=0.03)


def test_frames_that_show_nothing_stay_unseen():
    centres = track(moving_square(unseen=(3, 4)))
    assert np.isnan(centres[3:5]).all()
    assert not np.isnan(np.delete(centres, [3, 4], axis=0)).any()


def test_thing_that_is_hardly_seen_is_not_fitted():
    assert np.isnan(track(moving_square(unseen=range(2, 12)))).sum() == 20
