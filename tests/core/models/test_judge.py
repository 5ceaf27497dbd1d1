from dataclasses import replace

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog, loading
from moviegen_core.models.judge.model import Judge, JudgeConfig, finer, prepare_clip, soft_max

CONFIG = JudgeConfig(
    classes={"colour": ("red", "blue"), "motion": ("left", "right", "still")},
    still_channels=(8, 16, 16, 24, 24),
    motion_channels=(8, 16, 16),
    num_frames=4,
    size=32,
)


def test_every_attribute_gets_a_score_per_class():
    scores = Judge(CONFIG)(torch.zeros(2, 3, 3, 32, 32), torch.zeros(2, 3, 4, 16, 16))
    assert {name: tuple(rows.shape) for name, rows in scores.items()} == {"colour": (2, 2), "motion": (2, 3)}


def test_answers_are_words_of_the_config():
    answers = Judge(CONFIG).read(torch.rand(2, 3, 9, 32, 48), fps=16)
    assert set(answers["colour"]) <= {"red", "blue"}
    assert len(answers["motion"]) == 2


def test_clip_of_another_precision_is_read_as_it_is():
    torch.manual_seed(0)
    judge, clip = Judge(CONFIG), torch.rand(2, 3, 9, 32, 48).bfloat16()
    assert judge.read(clip, fps=16) == judge.read(clip.float(), fps=16)


def test_frames_are_taken_by_the_clock():
    ramp = torch.arange(48.0).view(1, 1, 48, 1, 1).expand(1, 3, 48, 16, 16)
    by_16 = prepare_clip(ramp[:, :, :24], 16, CONFIG)["moves"][0, 0, :, 0, 0]
    by_24 = prepare_clip(ramp, 24, CONFIG)["moves"][0, 0, :, 0, 0]
    torch.testing.assert_close(by_16 / 16, by_24 / 24)


def test_clip_that_ends_early_holds_its_last_frame():
    ramp = torch.arange(3.0).view(1, 1, 3, 1, 1).expand(1, 3, 3, 16, 16)
    assert prepare_clip(ramp, 16, CONFIG)["moves"][0, 0, :, 0, 0].tolist() == [0.0, 2.0, 2.0, 2.0]


def test_one_place_that_is_sure_outvotes_the_rest():
    votes = torch.zeros(1, 64, 2)
    votes[0, 0, 0] = 20.0
    scores = soft_max(votes)
    assert scores[0, 0] > scores[0, 1] + 10
    torch.testing.assert_close(soft_max(torch.full((1, 9, 2), 3.0)), torch.full((1, 2), 3.0))


def test_order_of_frames_changes_the_scores():
    torch.manual_seed(0)
    judge = Judge(CONFIG)
    stills, moves = torch.rand(1, 3, 3, 32, 32), torch.rand(1, 3, 4, 16, 16)
    assert not torch.allclose(judge(stills, moves)["motion"], judge(stills, moves.flip(2))["motion"])


def test_saved_judge_comes_back_with_its_classes(tmp_path):
    judge = catalog.build("judge", CONFIG, device="cpu")
    again = loading.load(loading.save(judge, tmp_path / "judge.safetensors"), network="judge")
    views = torch.rand(1, 3, 3, 32, 32), torch.rand(1, 3, 4, 16, 16)
    torch.testing.assert_close(again(*views), judge.eval()(*views))


def test_judge_of_more_detail_begins_with_the_answers_of_the_coarse_one():
    torch.manual_seed(0)
    coarse, fine = Judge(CONFIG), Judge(replace(CONFIG, detail=2))
    fine.load_state_dict(finer(coarse.state_dict(), 2))
    clip = torch.rand(1, 3, 9, 64, 64)
    views = prepare_clip(clip, 16, fine.config)
    assert [view.shape[2:] for view in views.values()] == [(3, 64, 64), (4, 16, 16)]
    torch.testing.assert_close(fine(**views), coarse(**prepare_clip(clip, 16, CONFIG)))


def test_attribute_with_one_class_is_refused():
    with pytest.raises(ConfigError, match="two or more classes"):
        JudgeConfig(classes={"colour": ("red",)})
    with pytest.raises(ConfigError, match="detail is 0"):
        replace(CONFIG, detail=0)
