"""Scenes: what is drawn from a seed, what is held out, what is refused."""

from dataclasses import replace

import pytest

from moviegen_core import toybox
from moviegen_core.errors import ConfigError
from moviegen_core.toybox import vocabulary


def test_same_seed_gives_same_scene_and_splits_differ():
    assert toybox.sample_scene(7) == toybox.sample_scene(7)
    assert toybox.sample_scene(7) != toybox.sample_scene(8)
    train, test = toybox.sample_scene(7), toybox.sample_scene(7, split="test")
    assert (train.subject, train.motion) != (test.subject, test.motion)


def test_scene_survives_its_dict():
    for seed in range(40):
        scene = toybox.sample_scene(seed)
        assert toybox.Scene.from_dict(scene.to_dict()) == scene


def test_held_out_combinations_never_appear_in_training_and_are_all_there_is_in_their_split():
    for split, expected in (("train", False), ("test", False), ("heldout", True)):
        for seed in range(100):
            labels = toybox.sample_scene(seed, split=split).labels()
            assert toybox.is_held_out(labels["thing"], labels["colour"], labels["motion"]) is expected


def test_about_one_combination_in_eleven_is_held_out_and_every_part_stays_in_training():
    held_out, train = set(vocabulary.combinations("heldout")), set(vocabulary.combinations("train"))
    assert not held_out & train
    assert 0.07 < len(held_out) / (len(held_out) + len(train)) < 0.11
    for index in range(3):
        assert {item[index] for item in held_out} <= {item[index] for item in train}
    pairs = {item[:2] for item in train} | {item[1:] for item in train}
    assert all(item[:2] in pairs and item[1:] in pairs for item in held_out)


def test_vocabulary_is_as_wide_as_promised():
    assert len(toybox.THINGS) >= 10
    assert len(toybox.COLOURS) == 8
    assert len(toybox.PLACES) >= 6
    assert len(toybox.MOTIONS) >= 10
    assert len(toybox.CAMERAS) == 8


def test_sampling_reaches_everything_evenly():
    scenes = [toybox.sample_scene(seed).labels() for seed in range(600)]
    for kind, values in (("thing", toybox.THINGS), ("place", toybox.PLACES), ("motion", toybox.MOTIONS)):
        counts = [sum(labels[kind] == value for labels in scenes) for value in values]
        assert min(counts) > 0.45 * sum(counts) / len(counts), kind
    static = sum(labels["camera"] == "static" for labels in scenes) / len(scenes)
    clear = sum(labels["weather"] == "clear" for labels in scenes) / len(scenes)
    assert 0.24 < static < 0.36
    assert 0.78 < clear < 0.92
    assert 0.04 < sum("word" in labels for labels in scenes) / len(scenes) < 0.1


def test_fixed_labels_are_kept_whatever_the_rest():
    fixed = {"thing": "ball", "colour": "blue", "motion": "bounce", "place": "beach", "camera": "static"}
    for seed in range(20):
        assert fixed.items() <= toybox.sample_scene(seed, **fixed).labels().items()
        assert toybox.sample_scene(seed, camera="tracking shot").camera.move == "tracking shot"
        assert toybox.sample_scene(seed, weather="snow").weather == "snow"
        assert toybox.sample_scene(seed, word="HELLO").labels()["word"] == "HELLO"
        assert toybox.sample_scene(seed, word=None, person=None).sign is None


@pytest.mark.parametrize(
    ("fixed", "remedy"),
    [
        ({"thing": "balloon", "motion": "roll"}, "choose one of bounce"),
        ({"place": "space", "weather": "rain"}, "choose one of clear"),
        ({"motion": "spin", "camera": "tracking shot"}, "choose one of static"),
        ({"thing": "dragon"}, "choose one of ball"),
        ({"material": "wood"}, "it has thing"),
        ({"word": "supercalifragilistic"}, "such as HELLO"),
        ({"split": "validation"}, "choose one of train"),
        ({"duration_seconds": 0.0}, "positive duration_seconds"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(fixed, remedy):
    with pytest.raises(ConfigError, match=remedy):
        toybox.sample_scene(0, **fixed)


def test_held_out_combination_is_refused_in_training():
    thing, colour, motion = vocabulary.combinations("heldout")[0]
    with pytest.raises(ConfigError, match="use split 'heldout'"):
        toybox.sample_scene(0, thing=thing, colour=colour, motion=motion)
    assert toybox.sample_scene(0, split="heldout", thing=thing, colour=colour, motion=motion).motion.kind == motion


def test_second_thing_of_a_collision_is_no_held_out_combination_outside_their_split():
    def others(split, count):
        scenes = [toybox.sample_scene(seed, split=split, motion="collide") for seed in range(count)]
        return [toybox.is_held_out(scene.other.thing, scene.other.colour, "collide") for scene in scenes]

    assert not any(others("train", 150) + others("test", 150))
    assert any(others("heldout", 150))


def test_seed_whose_second_thing_was_held_out_keeps_all_the_rest():
    scene = toybox.sample_scene(1_000_062)
    assert (scene.subject.thing, scene.subject.colour, scene.place) == ("star", "white", "meadow")
    assert scene.other.thing == "robot"
    assert scene.other.colour not in ("blue", scene.subject.colour)
    assert (scene.motion.speed, scene.motion.restitution, scene.camera.speed) == (0.4766, 0.9498, 0.2557)


def test_nobody_is_there_when_nobody_is_wanted_and_other_scenes_stay_the_same():
    people = 0
    for seed in range(150):
        scene, alone = toybox.sample_scene(seed), toybox.sample_scene(seed, person=None)
        assert alone.person is None
        assert alone.subject.thing != "person"
        people += scene.subject.thing == "person"
        if scene.subject.thing != "person":
            assert alone == replace(scene, person=None)
    assert people > 1
