"""The bench that reads facts and letters off the text encoders' features."""

import json

import pytest
import torch

from moviegen_core import weights
from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import text as bench
from moviegen_core.toybox import sample_scene


class Echo:
    """An encoder whose feature of a character is one channel of its own; the next character's, too, if it is told."""

    def __init__(self, before: bool) -> None:
        self.before = before

    def encode(self, prompts):
        ids = torch.tensor([[ord(letter) - ord("A") for letter in prompt] for prompt in prompts])
        features = torch.nn.functional.one_hot(ids, 26).float()
        if self.before:
            features = torch.cat([features, features.roll(1, dims=1)], dim=2)
        return features, torch.ones_like(ids, dtype=torch.bool)


def test_a_linear_map_finds_what_is_there_and_nothing_where_nothing_is():
    generator = torch.Generator().manual_seed(0)
    truth, wanted = (torch.randint(4, (count,), generator=generator) for count in (400, 200))
    plain, asked = (torch.randn(len(answers), 8, generator=generator) for answers in (truth, wanted))
    assert bench.probe(plain, truth, asked, wanted, 4) < 0.45
    # However small its channels are.
    told = [torch.nn.functional.one_hot(answers, 4) * 1e-4 for answers in (truth, wanted)]
    assert bench.probe(torch.cat([plain, told[0]], 1), truth, torch.cat([asked, told[1]], 1), wanted, 4) > 0.95


def test_letters_are_read_where_the_encoder_tells_them():
    scenes = [sample_scene(number) for number in range(60)]
    alone, both = (bench.letters_read(Echo(before), scenes, scenes[:30]) for before in (False, True))
    assert alone["letter"] == both["letter"] == both["letter before"] == 1.0
    assert alone["letter before"] < 0.25


def test_shipped_encoders_tell_places_and_letters_and_know_their_pictures(tmp_path):
    told = []
    report = bench.evaluate(tmp_path, fitted=300, clips=40, on_clip=lambda *what: told.append(what))
    assert report["metaclip"]["place"] > 0.5
    assert report["ul2"]["place"] > 0.5
    assert report["byt5"]["letter"] > 0.9
    assert report["metaclip_vision"]["own caption"] > 0.3  # by chance: 0.05
    assert told == [(role, 40, 40) for role in ("ul2", "metaclip", "byt5")]
    assert json.loads((tmp_path / "text.json").read_text()) == report
    assert "| byt5 | letter before |" in (tmp_path / "text.md").read_text()


@pytest.mark.parametrize(("fitted", "clips"), [(0, 40), (1, 40), (100, 5)])
def test_too_few_captions_are_refused(tmp_path, fitted, clips):
    with pytest.raises(ConfigError, match="needed"):
        bench.evaluate(tmp_path, fitted=fitted, clips=clips)


def test_a_model_without_text_encoders_is_refused(tmp_path):
    (tmp_path / "video.safetensors").write_bytes(weights.path("nano/video").read_bytes())
    with pytest.raises(ConfigError, match="no text encoder"):
        bench.evaluate(tmp_path / "out", model=str(tmp_path), fitted=2, clips=20)
