"""Captions: varied, complete, and silent about splits."""

import re

import pytest

from moviegen_core import toybox
from moviegen_core.toybox.captions import CAMERA_PHRASES, MOTION_PHRASES, THING_NAMES

PLACE_WORDS = {
    "meadow": "meadow",
    "beach": "beach",
    "night sky": "night",
    "city": "city",
    "room": "room",
    "space": "space",
    "under water": "under water",
}


@pytest.mark.parametrize("split", ["train", "test", "heldout"])
def test_both_captions_name_colour_thing_motion_place_and_camera(split):
    for seed in range(60):
        scene = toybox.sample_scene(seed, split=split)
        labels = scene.labels()
        for text in (toybox.captions(scene, seed).short, toybox.captions(scene, seed).long):
            assert text.isascii()
            assert labels["colour"] in text
            names = THING_NAMES.get(labels["thing"], ("person",))
            assert any(name in text for name in names)
            assert PLACE_WORDS[labels["place"]] in text.lower()
            phrases = [p.split(" {")[0] for pair in MOTION_PHRASES[labels["motion"]] for p in pair]
            assert any(phrase in text for phrase in phrases)
            if labels["camera"] != "static":
                assert any(phrase in text for phrase in CAMERA_PHRASES[labels["camera"]])
            assert ("rain" in text) == (labels["weather"] == "rain")
            assert ("snow" in text) == (labels["weather"] == "snow")
            assert ('"' in text) == ("word" in labels)
            assert re.search(r"train|test|held|split|\{|\}", text) is None


def test_signs_are_quoted():
    assert '"HELLO"' in toybox.captions(toybox.sample_scene(1, word="HELLO"), 0).short


def test_wording_varies_with_the_seed_only():
    scene = toybox.sample_scene(1)
    assert toybox.captions(scene, 5) == toybox.captions(scene, 5)
    assert len({toybox.captions(scene, seed).short for seed in range(40)}) > 20
    assert len({toybox.captions(scene, seed).long for seed in range(40)}) > 20


def test_short_is_short_and_long_is_long():
    short, long = [], []
    for seed in range(100):
        caption = toybox.captions(toybox.sample_scene(seed, word=None, person=None), seed)
        short.append(len(caption.short.split()))
        long.append(len(caption.long.split()))
    assert min(short) >= 7
    assert sorted(short)[90] <= 23
    assert sorted(long)[10] >= 22
    assert max(long) <= 50


def test_half_of_static_clips_say_nothing_about_the_camera():
    texts = [toybox.captions(toybox.sample_scene(seed, camera="static"), seed).short for seed in range(120)]
    assert 0.35 < sum("camera" in text.lower() for text in texts) / len(texts) < 0.65
