"""Physics: falling, rolling, sliding, colliding, and the events that follow."""

import math

import numpy as np
import pytest

from moviegen_core import toybox
from moviegen_core.toybox import camera, motions


def poses(scene, times):
    return [motions.pose(scene, time) for time in times]


@pytest.mark.parametrize("seed", range(6))
def test_gravity_fitted_to_the_first_fall_is_the_stated_one(seed):
    scene = toybox.sample_scene(seed, motion="bounce", camera="static")
    impact = scene.events[0].time_seconds
    times = np.arange(0, impact, 1 / 60)
    heights = -np.array([scene.positions(time)[1] for time in times])
    fitted = -2 * np.polyfit(times, heights, 2)[0]
    assert fitted == pytest.approx(scene.gravity, rel=1e-6)
    assert impact < 1.0


@pytest.mark.parametrize("motion", ["bounce", "collide", "hop", "walk"])
def test_things_go_on_to_the_end_of_a_clip_of_three_minutes(motion):
    scene = toybox.sample_scene(3, motion=motion, duration_seconds=190.0)
    assert scene.events[-1].time_seconds > 185.0


def test_each_bounce_keeps_the_stated_share_of_speed():
    scene = toybox.sample_scene(3, motion="bounce")
    for event in [event for event in scene.events if event.kind == "bounce"][:3]:
        step = 1e-5
        before, after = poses(scene, [event.time_seconds - step, event.time_seconds + step])
        assert before.height / step == pytest.approx(event.speed, rel=1e-3)
        assert after.height / before.height == pytest.approx(scene.motion.restitution, rel=1e-3)


def test_bounce_events_happen_where_the_track_touches_the_ground():
    scene = toybox.sample_scene(5, motion="bounce", duration_seconds=16.0)
    times = np.arange(0, 16, 1 / 960)
    heights = np.array([pose.height for pose in poses(scene, times)])
    lows = times[1:-1][(heights[1:-1] <= heights[:-2]) & (heights[1:-1] < heights[2:])]
    contacts = np.array([event.time_seconds for event in scene.events])
    assert len(lows) == len(contacts)
    assert np.abs(lows - contacts).max() < 2 / 960
    assert "toss" in {event.kind for event in scene.events}


@pytest.mark.parametrize("thing", ["ball", "star", "robot"])
def test_rolling_does_not_slip(thing):
    scene = toybox.sample_scene(1, thing=thing, motion="roll", camera="static")
    for start in np.linspace(0, 4, 30):
        first, second = poses(scene, [start, start + 0.01])
        assert second.x - first.x == pytest.approx(-(second.angle - first.angle) * scene.subject.radius, abs=1e-9)


def test_rolling_cube_turns_over_an_edge_that_rests_on_the_ground():
    scene = toybox.sample_scene(1, thing="cube", motion="roll", camera="tracking shot")
    radius = scene.subject.radius
    for pose in poses(scene, np.linspace(0, 3, 50)):
        corners = [
            pose.y + radius * math.sqrt(2) * math.sin(pose.angle + math.pi / 4 + k * math.pi / 2) for k in range(4)
        ]
        assert min(corners) == pytest.approx(motions.GROUND, abs=1e-9)


def test_sliding_slows_at_constant_rate_and_stops_at_the_event():
    scene = toybox.sample_scene(2, motion="slide", camera="static")
    stop = next(event.time_seconds for event in scene.events if event.kind == "stop")
    times = np.linspace(0, stop, 40)
    xs = np.array([abs(pose.x - motions.pose(scene, 0).x) for pose in poses(scene, times)])
    brake = -2 * np.polyfit(times, xs, 2)[0]
    assert brake == pytest.approx(scene.motion.friction * motions.GRAVITY, rel=1e-6)
    resting = poses(scene, [stop, stop + 0.1])
    assert resting[0].x == pytest.approx(resting[1].x)


def test_pendulum_keeps_its_energy():
    amplitude, length = 0.8, 0.42
    path = np.array(motions.pendulum(amplitude, length))
    speed = np.gradient(path, 1 / 240)[1:-1]
    energy = 0.5 * (length * speed) ** 2 + motions.GRAVITY * length * (1 - np.cos(path[1:-1]))
    assert np.ptp(energy) < 0.01 * motions.GRAVITY * length


@pytest.mark.parametrize("seed", range(5))
def test_collision_keeps_momentum_and_the_bodies_touch(seed):
    scene = toybox.sample_scene(seed, motion="collide", camera="static")
    impact = next(event.time_seconds for event in scene.events if event.kind == "collision")
    assert impact < 1.0
    first, second = scene.subject, scene.other
    mass = np.array([first.radius**2, second.radius**2])

    def at(time):
        return np.array([motions.pose(scene, time).x, motions.other_pose(scene, time).x])

    before, after = (at(impact) - at(impact - 0.01)) / 0.01, (at(impact + 0.01) - at(impact)) / 0.01
    assert mass @ before == pytest.approx(mass @ after, abs=1e-9)
    assert after[1] - after[0] == pytest.approx(-scene.motion.restitution * (before[1] - before[0]), abs=1e-9)
    gap = abs(np.diff(at(impact))[0])
    assert gap == pytest.approx(first.half_width + second.half_width, abs=1e-9)


@pytest.mark.parametrize("motion", [*toybox.MOTIONS, "walk", "wave"])
def test_motion_is_continuous_for_sixteen_seconds_and_moves_within_two(motion):
    scene = toybox.sample_scene(11, motion=motion, camera="static", duration_seconds=16.0)
    track = scene.track(16 * 48, 48)
    assert np.abs(np.diff(track, axis=0)).max() < 2.2 / 48
    early = poses(scene, np.linspace(0, 2, 33))
    spread = max(np.ptp([getattr(pose, name) for pose in early]) for name in ("x", "y", "angle", "phase"))
    assert spread > 0.15


@pytest.mark.parametrize("motion", ["bounce", "float", "fly", "hop", "spin", "swing"])
def test_height_is_that_of_the_lowest_point_above_the_ground(motion):
    scene = toybox.sample_scene(11, motion=motion, camera="static", duration_seconds=4.0)
    for pose in poses(scene, np.linspace(0.1, 3.9, 40)):
        assert pose.height == pytest.approx(pose.y - scene.subject.radius - motions.GROUND, abs=1e-9)


def test_limbs_of_both_things_of_a_collision_move_as_fast_for_the_way_they_go():
    scenes = [toybox.sample_scene(seed, motion="collide") for seed in range(80)]
    first = next(scene for scene in scenes if scene.subject.thing == "robot")
    second = next(scene for scene in scenes if scene.other.thing == "robot")
    for body, scene, radius in (
        (motions.pose, first, first.subject.radius),
        (motions.other_pose, second, second.other.radius),
    ):
        moved = [body(scene, time) for time in (0.0, 0.3)]
        cycles, gone = (abs(getattr(moved[1], name) - getattr(moved[0], name)) for name in ("phase", "x"))
        assert cycles == pytest.approx(gone / (math.tau * radius), abs=1e-9)


def test_subject_stays_in_the_frame_most_of_the_time():
    inside = []
    for seed in range(90):
        track = toybox.sample_scene(seed).track(32, 8)
        inside.append(((track > 0) & (track < 1)).all(axis=1).mean())
    assert np.mean(np.array(inside) >= 0.9) > 0.97


def test_camera_moves_as_named():
    def views(move):
        scene = toybox.sample_scene(4, motion="roll", camera=move)
        return [camera.view(scene, time) for time in (0.0, 2.0)]

    for move, field, sign in (
        ("pan left", "x", -1),
        ("pan right", "x", 1),
        ("tilt up", "y", 1),
        ("tilt down", "y", -1),
        ("zoom in", "zoom", 1),
        ("zoom out", "zoom", -1),
    ):
        start, stop = views(move)
        assert sign * (getattr(stop, field) - getattr(start, field)) > 0.2
    still = views("static")
    assert still[0] == still[1]


@pytest.mark.parametrize("motion", ["bounce", "roll", "slide", "hop", "fly", "walk"])
def test_tracking_shot_keeps_its_subject_near_the_middle(motion):
    scene = toybox.sample_scene(9, motion=motion, camera="tracking shot", duration_seconds=16.0)
    track = scene.track(256, 16)
    assert np.abs(track[:, 0] - 0.5).max() < 0.4
    assert abs(motions.anchor(scene, 2.0)) > 0.4


@pytest.mark.parametrize("thing", ["car", "duck", "boat", "cube"])
def test_large_things_do_not_begin_a_collision_within_each_other(thing):
    for seed in range(12):
        scene = toybox.sample_scene(seed, motion="collide", thing=thing, size="large")
        apart = abs(motions.other_pose(scene, 0).x - motions.pose(scene, 0).x)
        assert apart > scene.subject.half_width + scene.other.half_width
        assert abs(motions.other_pose(scene, 0).x) + scene.other.half_width < motions.POSTS
        assert [event.kind for event in scene.events].index("collision") == 0
        assert scene.events[0].time_seconds > 0


def test_second_thing_that_is_clear_of_the_first_stands_where_it_always_did():
    scene = toybox.sample_scene(3, motion="collide", size="medium")
    assert abs(motions.other_pose(scene, 0).x) == pytest.approx(0.36 - scene.other.half_width)


def wheels(body, scene, radius):
    """How far the wheels of a car roll forwards, and how far it goes forwards, while it does not turn round."""
    steps = [[body(scene, start + step) for step in (0, 0.01)] for start in np.linspace(0, 6, 90)]
    alike = [(first, second) for first, second in steps if first.facing == second.facing]
    rolled = [(second.phase - first.phase) * 0.36 * radius for first, second in alike]
    return rolled, [(second.x - first.x) * first.facing for first, second in alike]


@pytest.mark.parametrize("camera_move", ["static", "tracking shot"])
@pytest.mark.parametrize("seed", [1, 2, 5])
def test_wheels_of_a_car_neither_slip_nor_turn_backwards(seed, camera_move):
    scene = toybox.sample_scene(seed, thing="car", motion="roll", camera=camera_move)
    rolled, gone = wheels(motions.pose, scene, scene.subject.radius)
    assert rolled == pytest.approx(gone, abs=1e-9)
    assert min(gone) >= -1e-9


def test_wheels_of_both_cars_of_collisions_roll_as_they_go():
    first = toybox.sample_scene(1, thing="car", motion="collide")
    scenes = (toybox.sample_scene(seed, motion="collide") for seed in range(60))
    second = next(scene for scene in scenes if scene.other.thing == "car")
    for body, scene, radius in (
        (motions.pose, first, first.subject.radius),
        (motions.other_pose, second, second.other.radius),
    ):
        rolled, gone = wheels(body, scene, radius)
        clear = [(one, other) for one, other in zip(rolled, gone, strict=True) if abs(other) > 1e-6]
        assert len(clear) > 20
        assert [one for one, _ in clear] == pytest.approx([other for _, other in clear], abs=1e-9)
