"""The sound of scenes: reproducible, seamless, on time, labelled, at gentle levels."""

import numpy as np
import pytest

from moviegen_core import toybox
from moviegen_core.errors import ConfigError

SAMPLE = 48_000


def test_same_scene_gives_the_same_sound_and_another_seed_another():
    scene = toybox.sample_scene(7)
    assert np.array_equal(toybox.sound(scene, seconds=1.5), toybox.sound(scene, seconds=1.5))
    assert not np.array_equal(toybox.sound(scene, seconds=1.5), toybox.sound(toybox.sample_scene(8), seconds=1.5))


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_long_clip_begins_with_the_short_one_and_any_part_stands_alone(seed):
    scene = toybox.sample_scene(seed)
    long = toybox.sound(scene, seconds=6.4)
    assert np.array_equal(long[:, : 2 * SAMPLE + 7], toybox.sound(scene, seconds=2 + 7 / SAMPLE))
    first = round(4.123 * SAMPLE)
    part = toybox.sound(scene, seconds=1.1, start_seconds=4.123)
    assert np.array_equal(long[:, first : first + part.shape[1]], part)


@pytest.mark.parametrize("seconds", [0.0, 1 / SAMPLE, 0.5, 1.0, 4.0001])
def test_length_is_exact_to_the_sample_in_mono_and_stereo(seconds):
    scene = toybox.sample_scene(3)
    for channels in (1, 2):
        sound = toybox.sound(scene, seconds=seconds, channels=channels)
        assert sound.shape == (channels, round(seconds * SAMPLE))
        assert sound.dtype == np.float32


def test_mono_is_the_mean_of_the_stereo_channels():
    scene = toybox.sample_scene(11)
    stereo = toybox.sound(scene, seconds=1.0)
    assert np.allclose(toybox.sound(scene, seconds=1.0, channels=1)[0], stereo.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        {"motion": "bounce", "thing": "ball"},
        {"motion": "collide"},
        {"motion": "walk"},
        {"motion": "roll", "thing": "cube"},
        {"motion": "slide"},
    ],
)
def test_every_blow_begins_at_its_event_to_the_millisecond(labels):
    scene = toybox.sample_scene(40, place="room", **labels)
    heard = [event for event in scene.events if event.kind not in ("jump", "stop")]
    sound = toybox.sound(scene, music=False).astype(np.float64).sum(axis=0)
    energy = np.convolve(sound**2, np.ones(240) / 240, "full")[: sound.size]  # over the 5 ms before each sample
    assert heard
    for before, event in zip([None, *heard], heard, strict=False):
        at = round(event.time_seconds * SAMPLE)
        alone = before is None or event.time_seconds - before.time_seconds > 0.3
        if alone and 480 < at < sound.size - 480:
            assert energy[at + 240] > 1.8 * energy[at - 1], event


def test_faster_blow_is_louder_and_brighter():
    from moviegen_core.toybox.acoustics import GROUNDS, MATERIALS, strike

    slow, fast = (strike(MATERIALS["metal"], GROUNDS["stone"], 0.17, speed, (1,)) for speed in (0.3, 1.5))
    assert np.sum(fast**2) > 4 * np.sum(slow**2)

    def brightness(wave):
        power = np.abs(np.fft.rfft(wave)) ** 2
        return np.sum(power * np.arange(power.size)) / np.sum(power) * SAMPLE / wave.size

    assert brightness(fast) > 1.05 * brightness(slow)


def test_small_things_ring_higher_and_metal_rings_longer_than_wood():
    from moviegen_core.toybox.acoustics import GROUNDS, MATERIALS, strike

    def peak(wave):
        return np.argmax(np.abs(np.fft.rfft(wave, 1 << 17)))

    small, large = (strike(MATERIALS["metal"], GROUNDS["stone"], radius, 1.0, (1,)) for radius in (0.13, 0.215))
    assert peak(small) > 1.2 * peak(large)
    metal, wood = (strike(MATERIALS[name], GROUNDS["stone"], 0.17, 1.0, (1,)) for name in ("metal", "wood"))
    late = slice(SAMPLE // 4, SAMPLE // 3)
    assert np.sum(metal[late] ** 2) > 100 * np.sum(wood[late] ** 2)


def test_sound_comes_from_where_the_thing_is():
    scene = toybox.sample_scene(5, motion="walk", camera="static", place="room")
    sound = toybox.sound(scene, seconds=8.0, music=False).astype(np.float64)
    sides = []
    for event in scene.events_until(7.5):
        at = round(event.time_seconds * SAMPLE)
        left, right = np.sum(sound[:, at : at + 2400] ** 2, axis=1)
        sides.append((event.frame[0] - 0.5, np.log(right / left)))
    place, balance = np.array(sides).T
    assert np.corrcoef(place, balance)[0, 1] > 0.9


def test_levels_are_gentle_and_never_clip():
    loud = []
    for seed in range(24):
        scene = toybox.sample_scene(seed)
        sound = toybox.sound(scene, seconds=2.0)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 0.96
        if not toybox.sound_labels(scene).silent:
            loud.append(10 * np.log10(np.sum(np.mean(sound.astype(np.float64) ** 2, axis=1))))
    assert -25 < np.median(loud) < -17
    assert min(loud) > -36


def test_most_energy_lies_low_enough_for_a_small_codec():
    for seed in range(16):
        sound = toybox.sound(toybox.sample_scene(seed), seconds=2.0, channels=1)[0]
        power = np.abs(np.fft.rfft(sound)) ** 2
        assert power[2 * 1500 :].sum() <= 0.02 * power.sum(), seed


def test_labels_say_when_nothing_is_heard():
    scenes = [toybox.sample_scene(seed, place="space") for seed in range(40)]
    silent = [scene for scene in scenes if toybox.sound_labels(scene).silent]
    assert 3 < len(silent) < 20
    for scene in silent:
        assert not toybox.sound(scene, seconds=1.0).any()
        assert toybox.sound_labels(scene).kinds == ()
        assert (
            "ilen" in toybox.sound_captions(scene, 0).description
            or "nothing" in toybox.sound_captions(scene, 0).description.lower()
        )
        assert toybox.sound(scene, seconds=1.0, music="calm").any()


def test_every_kind_ambience_and_mood_occurs_and_music_is_in_about_half():
    labels = [toybox.sound_labels(toybox.sample_scene(seed)) for seed in range(1500)]
    assert {label.kind for label in labels} == set(toybox.SOUND_KINDS)
    assert {label.ambience for label in labels} == set(toybox.AMBIENCES)
    assert {label.mood for label in labels} == set(toybox.MOODS)
    assert 0.45 < np.mean([label.mood != "none" for label in labels]) < 0.65


def test_music_can_be_left_out_or_chosen():
    scene = toybox.sample_scene(2, place="room")
    plain = toybox.sound(scene, seconds=1.0, music=False)
    for mood in toybox.MOODS[1:]:
        assert toybox.sound_labels(scene, music=mood).mood == mood
        assert not np.array_equal(toybox.sound(scene, seconds=1.0, music=mood), plain)
    with pytest.raises(ConfigError, match="choose one of none, calm, cheerful, tense"):
        toybox.sound(scene, music="angry")


def test_chords_of_the_music_are_major_or_minor_triads_in_its_key():
    from moviegen_core.toybox.music import piece

    shapes = {(0, 4, 7), (0, 3, 7), (0, 3, 6)}
    for seed in range(12):
        for mood in ("cheerful", "tense"):
            music = piece(mood, (seed, 5))
            for bar in range(4):
                chord = music.chord(bar)
                classes = {tuple(sorted((note - root) % 12 for note in chord)) for root in chord}
                assert classes & shapes, (mood, chord)


def test_impossible_parts_are_refused():
    scene = toybox.sample_scene(1)
    with pytest.raises(ConfigError, match="1 or 2"):
        toybox.sound(scene, channels=3)
    with pytest.raises(ConfigError, match="from 0 up"):
        toybox.sound(scene, seconds=-1.0)


def test_sound_captions_name_thing_and_music_in_changing_words():
    for seed in range(60):
        scene = toybox.sample_scene(seed)
        labels = toybox.sound_labels(scene)
        words = {toybox.sound_captions(scene, wording).description for wording in range(8)}
        assert len(words) >= 3 or labels.kind == "silence"
        said = toybox.sound_captions(scene, 0)
        assert said == toybox.sound_captions(scene, 0)
        assert (said.music > 0.5) == (labels.mood != "none") == bool(said.music_description)
        assert 1.0 <= said.quality <= 10.0
        assert "{" not in said.description


def test_place_alone_sounds_and_is_told_in_few_words():
    scene = toybox.sample_scene(5, place="beach", motion="bounce", weather="clear")
    alone = toybox.sound(scene, seconds=2.0, music=False, subject=False)
    whole = toybox.sound(scene, seconds=2.0, music=False)
    assert np.abs(alone).max() > 0.01
    assert not np.allclose(alone, whole, atol=1e-3)
    labels = toybox.sound_labels(scene, music=False, subject=False)
    assert (labels.kind, labels.ambience) == ("silence", "waves")
    said = {toybox.sound_captions(scene, wording, music=False, subject=False).description for wording in range(30)}
    assert all("sea" in text.lower() or "wave" in text.lower() for text in said)
    assert len(said) > 5
    assert not any(scene.subject.thing in text.lower() for text in said)


def test_captions_of_sound_are_long_brief_or_tell_what_is_seen_and_few_words_are_not_always_silence():
    scene = toybox.sample_scene(5, place="beach", motion="bounce", weather="clear")
    lengths = [len(toybox.sound_captions(scene, wording).description.split()) for wording in range(60)]
    assert min(lengths) <= 4
    assert max(lengths) >= 10
    seen = {toybox.captions(scene, wording).short for wording in range(60)}
    assert 5 < sum(toybox.sound_captions(scene, wording).description in seen for wording in range(60)) < 25
    void = next(
        scene
        for scene in (toybox.sample_scene(seed, place="space") for seed in range(100))
        if toybox.sound_labels(scene).silent
    )
    assert max(len(toybox.sound_captions(void, wording).description.split()) for wording in range(30)) >= 8


def test_tumbling_cube_sounds_when_a_side_comes_down():
    scene = toybox.sample_scene(3, thing="cube", motion="roll", camera="static")
    from moviegen_core.toybox import motions

    blows = [event for event in scene.events if event.kind == "tumble"]
    assert blows
    for event in blows:
        # On its side, the cube's centre is as low as it gets.
        low = motions.pose(scene, event.time_seconds).y
        assert low == pytest.approx(motions.GROUND + scene.subject.radius, abs=1e-3)


def test_words_of_a_sound_are_not_doubled_and_know_night_from_day():
    duck = toybox.sample_scene(2, thing="duck", motion="bounce", place="room")
    said = [toybox.sound_captions(duck, seed).description.lower() for seed in range(150)]
    assert not any("rubber rubber" in text for text in said)
    assert any("a rubber duck bouncing" in text for text in said)
    for place, wrong, right in (("night sky", "day", "night"), ("city", "night", "day")):
        scene = toybox.sample_scene(2, place=place, weather="snow", motion="roll", camera="static")
        heard = [toybox.sound_captions(scene, seed, subject=subject) for seed in range(40) for subject in (True, False)]
        texts = [caption.description for caption in heard]
        assert any(f"snowy {right}" in text for text in texts)
        assert any(f"winter {right}" in text for text in texts)
        assert not any(f"{kind} {wrong}" in text for text in texts for kind in ("snowy", "winter"))
