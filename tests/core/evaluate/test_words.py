"""Sound without pictures: what was asked for is counted by what is heard."""

from types import SimpleNamespace

import pytest
import torch

from moviegen_core import toybox
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import words
from moviegen_core.shapes import SOUND_SAMPLE_RATE


class Pipeline:
    """Rain for requests of rain, silence for all others; known sound goes on at half its amplitude."""

    def __call__(self, prompt="", *, seconds, seed, known=()):
        made = torch.zeros(1, round(seconds * SOUND_SAMPLE_RATE))
        if "rain" in prompt:
            made = 0.1 * torch.randn(made.shape, generator=torch.Generator().manual_seed(seed))
        for piece in known:
            given = piece.waveform
            made[:, : given.shape[1]] = given
            made[:, given.shape[1] :] = 0.5 * given[:, : made.shape[1] - given.shape[1]]
        return SimpleNamespace(waveform=made)


class Judge:
    """Hears rain in whatever is not silent."""

    def read(self, waveform):
        return {name: ["rain" if waveform.abs().max() > 0 else "silence"] for name in ("kind", "ambience", "mood")}


def test_requests_are_counted_by_what_is_heard():
    asked = words.requests(Pipeline(), Judge(), 2, 0.5, lambda *_: None)
    rainy = sum("rain" in text for text, *_ in words.REQUESTS)
    assert asked["audible"] == pytest.approx(rainy / len(words.REQUESTS))
    assert asked["named rightly"] == pytest.approx(rainy / len(words.REQUESTS))
    assert set(asked["silent"]) == {text for text, *_ in words.REQUESTS if "rain" not in text}


def test_known_sound_is_compared_with_what_it_goes_on_as():
    found = words.continued(Pipeline(), 3, 2.0, lambda *_: None)
    assert found["audible"] == 1.0
    assert found["median difference (dB)"] == pytest.approx(-6.0, abs=0.1)


def test_requests_are_in_other_words_than_captions():
    said = {
        toybox.sound_captions(toybox.sample_scene(seed), wording, subject=subject).description.lower().strip(".")
        for seed in range(300) for wording in range(4) for subject in (True, False)
    }  # fmt: skip
    assert [text for text, *_ in words.REQUESTS if text in said] == []


def test_nothing_to_measure_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1 is needed"):
        words.evaluate(tmp_path, seeds=0)
