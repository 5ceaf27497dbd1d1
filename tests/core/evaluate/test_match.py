"""The bench of the sound match: which of two sounds it prefers for a clip."""

import pytest

from moviegen_core.devices import choose
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import match as bench
from moviegen_core.pipelines.sound_parts import load_sound_parts


@pytest.fixture(scope="module")
def parts():
    return load_sound_parts("nano", choose("cpu", "float32"))


def test_shipped_match_prefers_a_clips_own_sound(parts):
    told = []
    report = bench.measure(parts, 5, 2.0, lambda *what: told.append(what))
    assert told[-1] == ("match", 5, 5)
    assert report["preferred"][bench.BY_PICTURES] >= 0.75
    assert report["preferred"][bench.BY_WORDS] >= 0.75
    assert "| own time, not 0.5 s later | " in bench.as_markdown(report)


def test_single_clip_has_no_other_sound_to_lose_against(tmp_path):
    with pytest.raises(ConfigError, match="at least 2"):
        bench.evaluate(tmp_path, clips=1)
