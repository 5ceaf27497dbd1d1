import pytest

from moviegen_core.errors import ConfigError
from moviegen_core.shapes import LENGTH_RULES, LengthRule, plan_frames, seconds_to_frames


@pytest.mark.parametrize("family", LENGTH_RULES)
@pytest.mark.parametrize("rounding", ["nearest", "up", "down"])
def test_planned_lengths_fit_the_family_and_come_close(family, rounding):
    stride, rest = LENGTH_RULES[family].frames, LENGTH_RULES[family].rest
    for seconds in (0.01, 0.5, 1.0, 3.3, 8.0):
        for fps in (8, 16, 23.976, 24, 30):
            length = plan_frames(seconds, fps, family, rounding)
            assert length >= 1
            assert length % stride == rest % stride
            if length > stride:
                gap = length - seconds * fps
                low, high = {"nearest": (-0.5, 0.5), "up": (0, 1), "down": (-1, 0)}[rounding]
                assert low * stride - 1e-5 <= gap <= high * stride + 1e-5


@pytest.mark.parametrize(("family", "length"), [("wan", 81), ("ltx_video", 81), ("mochi", 79), ("movie_gen", 80)])
def test_five_seconds_at_16_fps(family, length):
    assert plan_frames(5, 16, family) == length


@pytest.mark.parametrize(
    ("family", "length", "latents"),
    [("wan", 81, 21), ("movie_gen", 80, 10), ("movie_gen", 81, 11), ("any", 7, 7), ("minimax_h3", 124, 37)],
)
def test_latent_frames_of_a_length(family, length, latents):
    assert LENGTH_RULES[family].latent_frames(length) == latents


def test_a_rule_of_ones_own():
    assert plan_frames(5, 16, LengthRule(10, 3)) == 83
    with pytest.raises(ConfigError, match="at least 1 n"):
        LengthRule(0)


def test_rounding_errors_of_seconds_times_fps_do_not_add_a_frame():
    assert plan_frames(0.1, 30, "any", "up") == 3


def test_unknown_families_and_empty_lengths_are_refused():
    with pytest.raises(ConfigError, match="movie_gen, wan"):
        plan_frames(1, 24, "nova")
    for seconds in (0, float("nan"), 1e300):
        with pytest.raises(ConfigError, match="seconds were asked for; use a number above 0 and up to 1,000,000"):
            plan_frames(seconds, 24, "wan")
        with pytest.raises(ConfigError, match="use a number above 0"):
            seconds_to_frames(seconds, 24)
    with pytest.raises(ConfigError, match=r"1e\+300 frames a second were asked for; use a number above 0"):
        plan_frames(1, 1e300)
