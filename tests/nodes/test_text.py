"""Prompt nodes on the standalone runtime."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import ConfigError


@pytest.fixture(scope="module")
def clip(nodes, weights):
    return nodes["MovieGenTextEncoderLoader"].execute(weights["ul2"], weights["metaclip"], weights["byt5"])[0]


def encode(nodes, clip, *arguments):
    return nodes["MovieGenTextEncode"].execute(clip, *arguments)[0][0][0]


def test_prompt_has_tokens_of_both_readers_and_none_for_signs(nodes, clip):
    packed = encode(nodes, clip, "a red ball", 16.0)
    assert packed[..., 0].sum() == 5  # FPS tag, three words, end
    assert packed[..., 1].sum() == 6  # and a start
    assert packed[..., 2].sum() == 0


def test_quoted_words_and_show_text_reach_the_byte_encoder(nodes, clip):
    assert encode(nodes, clip, 'a ball "HI"', 16.0)[..., 2].sum() == 3
    assert encode(nodes, clip, "a ball", 16.0, "HELLO")[..., 2].sum() == 6


def test_empty_prompt_is_the_null_condition(nodes, clip):
    assert not encode(nodes, clip, "  ", 16.0).any()


def test_camera_words_come_before_the_prompt(nodes, clip):
    encode = nodes["MovieGenTextEncode"].execute
    said = encode(clip, "Zoom in. a red ball", 16.0)[0][0][0]
    assert torch.equal(encode(clip, "a red ball", 16.0, camera="zoom in")[0][0][0], said)
    assert torch.equal(encode(clip, "Zoom in. a red ball", 16.0, camera="as in text")[0][0][0], said)


def test_frame_rate_changes_the_conditioning(nodes, clip):
    assert not torch.equal(encode(nodes, clip, "a ball", 16.0), encode(nodes, clip, "a ball", 24.0))


def test_encoder_that_is_none_is_left_out(nodes, weights):
    clip = nodes["MovieGenTextEncoderLoader"].execute(weights["ul2"], "none", "none")[0]
    packed = encode(nodes, clip, 'a ball "HI"', 16.0)
    assert packed[..., 0].sum() > 0
    assert packed[..., 1:3].sum() == 0


def test_leaving_out_every_encoder_is_refused(nodes):
    with pytest.raises(ConfigError, match="at least one"):
        nodes["MovieGenTextEncoderLoader"].execute("none", "none", "none")
