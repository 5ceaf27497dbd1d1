"""Pictures: deterministic, the same at any rate, anti-aliased, at any shape, with the thing where the track says."""

import itertools

import numpy as np
import pytest

from moviegen_core import toybox
from moviegen_core.errors import ShapeError


def lone_ball(colour, **fixed):
    """A large ball that floats under a static camera with nobody else in sight."""
    split = "heldout" if toybox.is_held_out("ball", colour, "float") else "train"
    extras = {"camera": "static", "weather": "clear", "size": "large", "word": None, "person": None}
    return toybox.sample_scene(3, split=split, thing="ball", colour=colour, motion="float", **extras, **fixed)


def test_same_scene_gives_the_same_pixels():
    scene = toybox.sample_scene(1)
    first, second = (toybox.render(scene, num_frames=3, fps=16, height=64, width=64) for _ in range(2))
    assert first.dtype == np.uint8
    assert first.shape == (3, 64, 64, 3)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("camera", toybox.CAMERAS)
def test_same_time_gives_the_same_picture_at_any_rate_and_from_any_start(camera):
    scene = toybox.sample_scene(12, camera=camera)
    coarse = toybox.render(scene, num_frames=13, fps=12, height=32, width=48)
    fine = toybox.render(scene, num_frames=25, fps=24, height=32, width=48)
    assert np.array_equal(coarse, fine[::2])
    later = toybox.render(scene, num_frames=2, fps=12, height=32, width=48, start_seconds=0.75)
    assert np.array_equal(later, coarse[9:11])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (36, 64), (64, 36), (24, 100), (90, 65)])
def test_any_aspect_ratio_is_filled(height, width):
    for seed, place in enumerate(toybox.PLACES):
        scene = toybox.sample_scene(seed, place=place, camera=toybox.CAMERAS[seed])
        frames = toybox.render(scene, num_frames=1, fps=1, height=height, width=width, start_seconds=1.5)
        assert frames.shape == (1, height, width, 3)
        # Nothing was left undrawn: untouched canvas would be pure black.
        assert (frames.max(axis=-1) > 0).all()


def test_edges_take_values_between_inside_and_outside():
    scene = lone_ball("white", place="space")
    frame = toybox.render(scene, num_frames=1, fps=1, height=128, width=128)[0].astype(int)
    x, y = (128 * place for place in scene.positions(0.0))
    rows, columns = np.mgrid[:128, :128] + 0.5
    rim = np.abs(np.hypot(columns - x, rows - y) - 128 * scene.subject.radius) < 1
    # Three flat colours meet here; without blending their few values would be all.
    assert len(np.unique(frame[rim].sum(axis=-1))) > 0.4 * rim.sum()


@pytest.mark.parametrize("colour", list(toybox.COLOURS))
def test_subject_shows_its_colour_where_the_track_says(colour):
    scene = lone_ball(colour, place="city")
    for frame, (x, y) in zip(
        toybox.render(scene, num_frames=3, fps=2, height=128, width=128), scene.track(3, 2), strict=True
    ):
        radius = scene.subject.radius * 128
        # Just above the middle of the ball lies its plain colour, whatever its gloss.
        patch = frame[round(y * 128 - 0.5 * radius), round(x * 128 + 0.1 * radius)].astype(float)
        distances = {name: np.abs(patch - np.array(rgb)).sum() for name, rgb in toybox.COLOURS.items()}
        assert min(distances, key=distances.get) == colour


def test_nothing_but_the_weather_and_the_subject_moves_under_a_static_camera():
    scene = toybox.sample_scene(
        2, motion="spin", camera="static", weather="clear", word=None, person=None, size="small"
    )
    frames = toybox.render(scene, num_frames=4, fps=4, height=96, width=96)
    moving = np.ptp(frames.astype(int), axis=0).max(axis=-1) > 0
    rows, columns = np.nonzero(moving)
    x, y = scene.positions(0.0)
    reach = 1.6 * scene.subject.radius * 96
    assert len(rows)
    assert np.abs(columns - x * 96).max() < reach
    assert np.abs(rows - y * 96).max() < reach


def test_sign_puts_its_word_in_the_picture():
    plain, signed, other = (
        toybox.render(
            toybox.sample_scene(2, motion="rock", camera="static", word=word, person=None),
            num_frames=1,
            fps=1,
            height=128,
            width=128,
        )[0].astype(int)
        for word in (None, "HELLO", "MAGIC")
    )
    assert (np.abs(plain - signed).max(axis=-1) > 60).mean() > 0.05
    assert (np.abs(other - signed).max(axis=-1) > 60).mean() > 0.005


def test_people_with_other_identities_look_different():
    fixed = {"thing": "person", "motion": "wave", "colour": "red", "place": "room", "camera": "static", "size": "large"}
    scenes = [toybox.sample_scene(seed, **fixed) for seed in range(6)]
    assert len({scene.person.identity for scene in scenes}) == 6
    pictures = [toybox.render(scene, num_frames=1, fps=1, height=64, width=64)[0].astype(int) for scene in scenes]
    for first, second in itertools.pairwise(pictures):
        assert (np.abs(first - second).max(axis=-1) > 40).sum() > 40


def test_impossible_sizes_are_refused():
    with pytest.raises(ShapeError, match="at least 1 frame"):
        toybox.render(toybox.sample_scene(0), num_frames=0, fps=16, height=64, width=64)
