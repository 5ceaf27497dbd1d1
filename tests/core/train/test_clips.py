"""Clips on disk: their scenes are written whole, a changed toybox is noticed, and what looks good is told."""

import os
from dataclasses import replace

import pytest

from moviegen_core import toybox
from moviegen_core.toybox import motions, places, things, vocabulary
from moviegen_core.train.clips import ClipConfig, Clips, drawing, looks, portraits


def test_scene_of_a_clip_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    clips = Clips(tmp_path, ClipConfig(count=1, size=16, kinds=((1, 16, 1),)))

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            clips.render(0)
    assert list(clips.path(0).parent.iterdir()) == []
    clips.render(0)
    assert clips.scene(0) == clips.config.scene(0)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("thing", (*toybox.THINGS, "person")),
        ("colour", tuple(toybox.COLOURS)),
        ("motion", (*toybox.MOTIONS, *vocabulary.PERSON_MOTIONS)),
        ("place", toybox.PLACES),
        ("weather", toybox.WEATHERS),
        ("camera", toybox.CAMERAS),
    ],
)
def test_portraits_show_everything_that_the_toybox_has(kind, values):
    assert {scene.labels()[kind] for scene in portraits()} == set(values)
    assert any(scene.sign for scene in portraits())
    assert any(scene.person and scene.subject.thing != "person" for scene in portraits())


def changed(monkeypatch, where, name, value):
    """Fingerprint of the drawing while something of the toybox is changed."""
    with monkeypatch.context() as patch:
        (patch.setitem if isinstance(where, dict) else patch.setattr)(where, name, value)
        return drawing.__wrapped__()


def test_changed_thing_place_motion_and_wheel_are_noticed(monkeypatch):
    before = drawing()
    assert drawing.__wrapped__() == before
    assert changed(monkeypatch, things.PAINTERS, "rocket", things.PAINTERS["duck"]) != before
    assert changed(monkeypatch, places.PAINTERS, "under water", places.PAINTERS["space"]) != before
    assert changed(monkeypatch, motions, "CAR_WHEEL", 0.4) != before
    assert changed(monkeypatch, motions, "TURN", 0.31) != before


def test_bystander_costs_as_much_as_a_second_thing_and_a_main_person_nothing():
    plain = toybox.sample_scene(1, motion="hop", thing="cat", camera="static", person=None)
    beside = toybox.sample_scene(1, motion="hop", thing="cat", camera="static", person="standing")
    assert looks(beside, 8, 4) == pytest.approx(0.9 * looks(plain, 8, 4))
    walker = toybox.sample_scene(1, thing="person", motion="walk", camera="static")
    assert looks(walker, 8, 4) == looks(replace(walker, person=None), 8, 4)
