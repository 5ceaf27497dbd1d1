"""The sound judge: shapes, front end, refusals, and that it can learn what it is to tell."""

import math

import pytest
import torch
from films import tone

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.models import catalog, loading
from moviegen_core.models.sound_judge.model import SoundJudge, SoundJudgeConfig, hear, mel_filters

CONFIG = SoundJudgeConfig(classes={"kind": ("low", "high"), "mood": ("a", "b", "c")}, channels=(8, 16), width=16)
RATE = 48_000


def test_every_attribute_gets_a_score_per_class_for_any_length():
    judge = SoundJudge(CONFIG)
    for seconds in (0.2, 1.0, 2.5):
        scores = judge(hear(tone(seconds, 300)[None], CONFIG))
        assert {name: tuple(rows.shape) for name, rows in scores.items()} == {"kind": (1, 2), "mood": (1, 3)}


def test_answers_are_words_of_the_config_and_stereo_is_heard_as_its_mean():
    judge = SoundJudge(CONFIG)
    stereo = tone(1, 500, channels=2)[None]
    assert judge.read(stereo) == judge.read(tone(1, 500)[None])
    assert judge.read(stereo)["kind"][0] in ("low", "high")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_judge_reads_sounds_of_another_precision_than_its_own(dtype):
    judge = SoundJudge(CONFIG)
    sound = tone(1, 500)[None]
    assert judge.read(sound.to(dtype)).keys() == judge.to(dtype).read(sound).keys() == CONFIG.classes.keys()


def test_spectrogram_rises_with_loudness_and_silence_is_minus_one():
    assert torch.allclose(hear(torch.zeros(1, 1, RATE), CONFIG), torch.tensor(-1.0), atol=1e-4)
    loud, soft = (hear(tone(1, 400, level=level)[None], CONFIG) for level in (0.5, 0.05))
    band = loud[0].mean(dim=1).argmax()
    assert loud[0, band].mean() - soft[0, band].mean() == pytest.approx(2 * math.log(10) / -math.log(1e-4), abs=0.02)


def test_mel_filters_are_triangles_in_order():
    filters = mel_filters(CONFIG)
    peaks = filters.argmax(dim=1)
    assert bool((peaks.diff() >= 0).all())
    assert filters.min() == 0.0
    assert filters.max() <= 1.0
    assert bool((filters.sum(dim=1) > 0).all())


def test_judge_learns_to_tell_low_from_high():
    torch.manual_seed(0)
    judge = SoundJudge(CONFIG)
    sounds = torch.stack([tone(0.4, hertz) for hertz in (150, 220, 300, 1500, 2200, 3000)])
    heard, truth = hear(sounds, CONFIG), torch.tensor([0, 0, 0, 1, 1, 1])
    optimiser = torch.optim.Adam(judge.parameters(), 1e-2)
    for _ in range(25):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(judge(heard)["kind"], truth).backward()
        optimiser.step()
    assert judge.read(torch.stack([tone(0.4, 180), tone(0.4, 2600)]))["kind"] == ["low", "high"]


def test_file_round_trip_keeps_answers(tmp_path):
    judge = SoundJudge(CONFIG)
    loading.save(judge, tmp_path / "judge.safetensors")
    again = loading.load(tmp_path / "judge.safetensors", device="cpu", dtype=torch.float32, network="sound_judge")
    heard = hear(tone(1, 300)[None], CONFIG)
    torch.testing.assert_close(again(heard)["mood"], judge(heard)["mood"], rtol=1e-5, atol=1e-6)


def test_shipped_size_stays_below_three_hundred_thousand_numbers():
    from moviegen_core.train.recipes.nano_sound_judge import CLASSES

    judge = catalog.build("sound_judge", SoundJudgeConfig(classes=CLASSES))
    assert catalog.count_parameters(judge) <= 300_000


def test_short_clips_wrong_spectrograms_and_impossible_sizes_are_refused():
    with pytest.raises(ShapeError, match="too short"):
        hear(torch.zeros(1, 1, 100), CONFIG)
    with pytest.raises(ShapeError, match="64 bands"):
        SoundJudge(CONFIG)(torch.zeros(1, 10, 20))
    with pytest.raises(ConfigError, match="multiples of 8"):
        SoundJudgeConfig(classes={"kind": ("a", "b")}, channels=(10,))
    with pytest.raises(ConfigError, match="two or more"):
        SoundJudgeConfig(classes={"kind": ("a",)})
