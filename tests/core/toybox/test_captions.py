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
                phrases = CAMERA_PHRASES[labels["camera"]]
                assert any(phrase in text.replace("follows them", "follows it") for phrase in phrases)
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


def both(scene, count=60):
    """Many captions of a scene, in one text each."""
    found = [toybox.captions(scene, seed) for seed in range(count)]
    return [text for caption in found for text in (caption.short, caption.long)]


@pytest.mark.parametrize("weather", ["rain", "snow"])
def test_night_is_no_day_and_no_sun_shines_in_rain_or_snow(weather):
    assert not any(" day" in text for text in both(toybox.sample_scene(1, place="night sky", weather=weather)))
    assert not any("sunny" in text for text in both(toybox.sample_scene(1, place="meadow", weather=weather)))
    assert any("sunny" in text for text in both(toybox.sample_scene(1, place="meadow", weather="clear")))
    assert any(" day" in text for text in both(toybox.sample_scene(1, place="meadow", weather=weather)))


def test_what_is_aloft_is_on_no_floor():
    assert not any("on the floor" in text for text in both(toybox.sample_scene(1, place="room", motion="fly")))
    assert any("on the floor" in text for text in both(toybox.sample_scene(1, place="room", motion="slide")))


@pytest.mark.parametrize("place", ["under water", "beach"])
def test_people_are_not_called_it(place):
    person, ball = (
        toybox.sample_scene(1, thing=thing, motion=motion, place=place, weather="clear", camera="tracking shot")
        for thing, motion in (("person", "walk"), ("ball", "roll"))
    )
    assert not any(re.search(r"\bit\b", text) for text in both(person))
    assert any("they keep " in text for text in both(person))
    assert any("follows them." in text for text in both(person))
    assert not any(re.search(r"\b(they|them)\b", text) for text in both(ball))


def test_tracking_shot_that_follows_it_is_told_after_what_it_follows():
    texts = both(toybox.sample_scene(1, camera="tracking shot"))
    assert any("follows it." in text for text in texts)
    assert not any(text.startswith("A tracking shot follows it.") for text in texts)
    assert any(text.startswith("Tracking shot.") for text in texts)


def test_captions_that_were_right_stay_as_they_were():
    assert [toybox.captions(toybox.sample_scene(seed), seed).short for seed in (0, 3)] == [
        "There is an orange balloon hanging on a string and swinging on a beach in the rain. Tilt down.",
        "In the city on a snowy day, a red robot is making small hops. The camera stays still in a static shot.",
    ]
