import math

import numpy as np
import pytest
import torch

from moviegen_core.evaluate.gravity import fitted_gravity, flights, impacts
from moviegen_core.evaluate.text_to_video import real_clip
from moviegen_core.evaluate.tracking import track
from moviegen_core.toybox import sample_scene

FPS, SIZE, GRAVITY = 16, 64, 2.4


def bouncing_dot(gravity=GRAVITY, frames=32, radius=4):
    """A white disc that falls from near the top and bounces; grey behind it."""
    clip = torch.zeros(3, frames, SIZE, SIZE)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    height, speed, floor, steps = 0.15, 0.0, 0.85, 64
    for frame in range(frames):
        inside = (rows - height * SIZE) ** 2 + (columns - SIZE * (0.2 + 0.02 * frame)) ** 2 < radius**2
        clip[:, frame][:, torch.from_numpy(inside)] = 1.0
        for _ in range(steps):
            speed += gravity / FPS / steps
            height += speed / FPS / steps
            if height > floor and speed > 0:
                speed *= -0.8
    return clip


def test_gravity_of_a_bouncing_disc_is_found_within_a_tenth():
    assert fitted_gravity(bouncing_dot(), FPS) == pytest.approx(GRAVITY, rel=0.1)


def test_weaker_gravity_is_told_apart():
    assert fitted_gravity(bouncing_dot(gravity=1.2), FPS) == pytest.approx(1.2, rel=0.15)


def test_impact_ends_a_flight():
    assert len(flights(track(bouncing_dot()), FPS)) >= 2


@pytest.mark.parametrize("gravity", [GRAVITY, 1.6])
def test_impact_is_found_between_frames(gravity):
    fall = math.sqrt(2 * 0.7 / gravity)  # seconds from 0.15 to 0.85 of the frame
    assert impacts(bouncing_dot(gravity), FPS) == pytest.approx([fall], abs=0.01)


def test_rolling_disc_never_lands():
    clip = torch.zeros(3, 32, SIZE, SIZE)
    for frame in range(32):
        clip[:, frame, 40:48, 2 * frame : 2 * frame + 8] = 1.0
    assert impacts(clip, FPS) == []


def test_still_picture_has_no_gravity():
    assert fitted_gravity(torch.rand(3, 1, SIZE, SIZE).expand(3, 16, SIZE, SIZE), FPS) is None


@pytest.mark.parametrize("seed", [8, 25, 50])
def test_thing_that_always_hides_a_part_of_what_is_behind_it_falls_as_it_should(seed):
    scene = sample_scene(7_300_000 + seed, split="test", motion="bounce", camera="static", weather="clear")
    clip = real_clip(scene, {"num_frames": 32, "fps": FPS, "height": 96, "width": 96})[0]
    assert fitted_gravity(clip, FPS) == pytest.approx(scene.gravity, rel=0.2)
