"""The bench of the sound match: which of two sounds it prefers for a clip."""

import pytest

from moviegen_core.devices import choose
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import match as bench
from moviegen_core.pipelines.sound_parts import load_sound_parts


@pytest.fixture(scope="module")
def parts():
    return load_sound_parts("nano", choose("cpu", "float32"))


def test_shipped_match_prefers_a_clips_own_sound_to_anothers_of_another_action_and_of_the_same(parts):
    told = []
    report = bench.measure(parts, 6, 2.0, lambda *what: told.append(what))
    assert told[5:7] == [("sounds", 6, 6), ("match", 1, 6)]
    assert told[-1] == ("match", 6, 6)
    assert report["preferred"]["own sound, not another action's, by the pictures"] >= 0.75
    assert report["preferred"]["own sound, not another action's, by the words"] >= 0.75
    # Six clips show five actions, so that two of them have a rival of their own.
    for how in (bench.BY_PICTURES, bench.BY_WORDS):
        assert report["preferred"][f"own sound, not another scene's of the same action, {how}"] in (0.0, 0.5, 1.0)
    assert "| own time, not 0.5 s later, by the pictures | " in bench.as_markdown(report)


def test_single_clip_has_no_other_sound_to_lose_against(tmp_path):
    with pytest.raises(ConfigError, match="at least 2"):
        bench.evaluate(tmp_path, clips=1)


def test_rival_is_the_nearest_clip_before_around_the_end_with_the_same_action_or_another():
    actions = ["hop", "walk", "hop", "slide", "walk", "hop"]
    assert [bench.rival(actions, number, same=True) for number in range(6)] == [5, 4, 0, None, 1, 2]
    assert [bench.rival(actions, number, same=False) for number in range(6)] == [4, 0, 1, 2, 3, 4]
    assert bench.rival(["hop"], 0, same=True) is None
    assert bench.rival(["hop"], 0, same=False) is None
