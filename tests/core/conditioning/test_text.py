import logging
import time

import pytest
import torch

from moviegen_core.conditioning.text import (
    CAMERA_MOTIONS,
    SHOT_TYPES,
    TextEncoders,
    add_camera,
    encode_prompt,
    quoted_strings,
    split_camera,
)
from moviegen_core.errors import ConfigError
from moviegen_core.models.text import TextConfig, TextEncoder, build_network
from moviegen_core.models.text.tokenizer import ByteTokenizer


def byte_encoder(role: str, max_tokens: int = 64) -> TextEncoder:
    """A tiny random T5 over bytes, which stands for any role here."""
    config = TextConfig(
        family="t5",
        vocab_size=384,
        dim=16,
        num_layers=1,
        num_heads=2,
        head_dim=8,
        mlp_dim=16,
        activation="gated-silu",
        max_tokens=max_tokens,
    )
    return TextEncoder(role, config, build_network(config), ByteTokenizer())


@pytest.fixture(scope="module")
def encoders() -> TextEncoders:
    torch.manual_seed(0)
    return TextEncoders(*(byte_encoder(role) for role in ("ul2", "metaclip", "byt5")))


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ('a sign that says "OPEN 24" and "EXIT"', ["OPEN 24", "EXIT"]),
        ("a sign “Héllo” and «salut» and „Hallo“", ["Héllo", "salut", "Hallo"]),
        ("a board that reads 'don't stop' in red", ["don't stop"]),
        ("a note ‘it’s me’ on the door", ["it’s me"]),
        ("don't touch the dogs' bowl or the cats' food", []),
        ("a '90s car in the dogs' park", []),
        ("rock 'n' roll in the park", []),
        ('a 6" ball beside a 5" cube', []),
        ('an unclosed "quotation', []),
        ('empty "" and blank "  "', []),
        ('("HI")', ["HI"]),
        ('שלט שאומר "שלום"', ["שלום"]),
    ],
)
def test_quoted_strings_are_found_and_apostrophes_are_not(prompt, found):
    assert quoted_strings(prompt) == found


def test_a_hundred_thousand_quotation_marks_are_read_quickly():
    begun = time.process_time()
    assert quoted_strings("'a " * 50_000) == []
    assert quoted_strings("“" * 100_000) == []
    assert time.process_time() - begun < 2


def test_the_paper_names_sixteen_camera_motions_and_six_shots():
    assert len(set(CAMERA_MOTIONS)) == 16
    assert len(set(SHOT_TYPES)) == 6


def test_a_camera_prefix_is_added_found_and_replaced():
    prompt = add_camera("a red ball", "pan left")
    assert split_camera(prompt) == ("pan left", "a red ball")
    assert add_camera(prompt, "zoom in") == "Zoom in. a red ball"
    assert split_camera(add_camera(prompt, "close-up"))[0] == "close-up"
    assert split_camera("panning shots are nice") == (None, "panning shots are nice")
    with pytest.raises(ConfigError, match="use one of zoom in"):
        add_camera("a red ball", "wobble")


def test_chosen_camera_motion_replaces_sentences_about_the_camera():
    said = "A red ball bounces. The camera is static. It rains."
    assert add_camera(said, "zoom in") == "Zoom in. A red ball bounces. It rains."
    assert add_camera("A cat hops. Static camera.", "Pan left") == "Pan left. A cat hops."
    assert add_camera("A cat hops.", "static") == "Static shot. A cat hops."
    assert add_camera(said, "close-up") == f"Close-up. {said}"
    shown = 'The camera says "GO". A cat\n\nhops.'
    assert add_camera(shown, "zoom in") == f"Zoom in. {shown}"


def test_shot_type_stands_beside_a_camera_motion():
    both = add_camera(add_camera("a red ball", "pan left"), "close-up")
    assert both == "Close-up. Pan left. a red ball"
    assert add_camera(both, "wide shot") == "Wide shot. Pan left. a red ball"


def test_whole_prompt_carries_the_frame_rate_and_byt5_reads_only_the_quotation(encoders):
    condition = encode_prompt(encoders, 'A sign says "GO"', fps=24)
    features, mask = encoders.ul2.encode(['FPS-24 A sign says "GO"'])
    torch.testing.assert_close(condition.context["ul2"], features)
    assert torch.equal(condition.context_mask["metaclip"], mask)
    assert condition.context_mask["byt5"].sum() == len("GO") + 1


def test_no_frame_rate_means_no_tag(encoders):
    assert encode_prompt(encoders, "ball", fps=None).context_mask["ul2"].sum() == len("ball") + 1


def test_text_to_show_replaces_the_quotations(encoders):
    condition = encode_prompt(encoders, 'a sign "GO"', show_text="HELLO")
    torch.testing.assert_close(condition.context["byt5"], encoders.byt5.encode(["HELLO"])[0])
    assert "byt5" not in encode_prompt(encoders, 'a sign "GO"', show_text="").context


def test_blank_prompts_are_the_null_condition(encoders):
    assert encode_prompt(encoders, " \n").context == {}
    assert encode_prompt(encoders, ["", ""]).batch == 2


def test_blank_prompts_among_others_have_no_valid_token(encoders):
    condition = encode_prompt(encoders, ["", 'a sign "GO"', "ball"])
    assert condition.context_mask["ul2"].any(dim=1).tolist() == [False, True, True]
    assert condition.context_mask["byt5"].any(dim=1).tolist() == [False, True, False]
    alone = encode_prompt(encoders, "ball")
    length = alone.context["ul2"].shape[1]
    torch.testing.assert_close(condition.context["ul2"][2, :length], alone.context["ul2"][0], atol=1e-5, rtol=1e-5)


def test_a_missing_encoder_is_left_out_and_logged(caplog):
    with caplog.at_level(logging.WARNING):
        encoders = TextEncoders(ul2=byte_encoder("ul2"))
    assert sorted(record.args[0] for record in caplog.records) == ["byt5", "metaclip"]
    assert set(encode_prompt(encoders, 'a sign "GO"').context) == {"ul2"}


def test_no_encoder_at_all_is_refused():
    with pytest.raises(ConfigError, match="load at least one"):
        TextEncoders()


@pytest.mark.parametrize("prompt", ["x" * 10_000, "🎈" * 100, "שלום עולם " * 100, "\ud800 half a pair"])
def test_strange_prompts_are_cut_to_the_token_limit_with_one_log_line(encoders, prompt, caplog):
    condition = encode_prompt(TextEncoders(encoders.ul2), prompt)
    tokens = condition.context["ul2"]
    assert 0 < tokens.shape[1] <= 64
    assert tokens.isfinite().all()
    cuts = [record for record in caplog.records if "cut" in record.message]
    assert len(cuts) == (len(prompt) >= 100)


def test_prompts_and_texts_to_show_must_match_in_number(encoders):
    with pytest.raises(ConfigError, match="one for each"):
        encode_prompt(encoders, ["a", "b"], show_text=["x"])
    with pytest.raises(ConfigError, match="at least one string"):
        encode_prompt(encoders, [])
