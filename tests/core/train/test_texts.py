import random

import torch

from moviegen_core import toybox
from moviegen_core.models.text.tokenizer import ByteTokenizer
from moviegen_core.train import texts


def test_padding_cuts_long_rows_and_keeps_their_end_token():
    rows = texts.pad([[5, 6, 1], list(range(10, 40)) + [1]], limit=8)
    assert rows["ids"].shape == (2, 8)
    assert rows["ids"][1, -1] == 1
    assert rows["mask"].sum(1).tolist() == [3, 8]


def test_a_source_gives_the_same_batch_for_the_same_position():
    first, second = (texts.FrameSource(ByteTokenizer(), 2, seed=5, frame_size=16, pool=6) for _ in range(2))
    second.batch(0)
    for name, value in first.batch(7).items():
        assert torch.equal(value, second.batch(7)[name])
    frames = first.batch(7)["frames"]
    assert frames.shape == (2, 3, 16, 16)
    assert frames.min() >= -1
    assert frames.max() <= 1


def test_a_source_gives_the_same_batch_whatever_was_asked_before():
    first, second = (texts.FrameSource(ByteTokenizer(), 2, seed=5, frame_size=16, pool=6) for _ in range(2))
    first.batch(14)
    for name, value in first.batch(3).items():
        assert torch.equal(value, second.batch(3)[name]), name


def test_an_epoch_of_frames_holds_every_sample_once_and_the_next_is_in_another_order():
    source = texts.FrameSource(ByteTokenizer(), 1, seed=5, frame_size=16, pool=50)
    orders = [[source._number(epoch, index) for index in range(200)] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(200))
    assert orders[0] != orders[1]


def test_captions_carry_the_frame_rate_most_of_the_time():
    scene, rng = toybox.sample_scene(3), random.Random(0)
    found = [texts.drawn_prompt(scene, rng) for _ in range(40)]
    assert 25 < sum(text.startswith("FPS-") for text in found) < 40


def test_shown_strings_are_short_and_never_blank():
    rng = random.Random(0)
    assert all(0 < len(texts.shown_string(rng).strip()) <= 32 for _ in range(300))
