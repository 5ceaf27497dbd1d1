"""What latents and text features depend on."""

from moviegen_core.toybox.captions import CAMERA_PHRASES, MOTION_PHRASES, PLACE_DETAILS, PLACE_PHRASES, WEATHER_PHRASES
from moviegen_core.train.latents import wording


def test_other_words_of_any_motion_place_weather_or_camera_are_noticed(monkeypatch):
    before = wording()
    assert wording.__wrapped__() == before
    for phrases in (MOTION_PHRASES, PLACE_PHRASES, PLACE_DETAILS, WEATHER_PHRASES, CAMERA_PHRASES):
        name, known = list(phrases.items())[-1]
        with monkeypatch.context() as patch:
            other = ("whirls", "whirling") if phrases is MOTION_PHRASES else "somewhere else"
            patch.setitem(phrases, name, (*known[:-1], other))
            assert wording.__wrapped__() != before
