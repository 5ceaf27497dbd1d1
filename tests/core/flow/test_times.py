import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.flow import times


@pytest.mark.parametrize("kind", times.KINDS)
@pytest.mark.parametrize("steps", [1, 2, 3, 25, 50, 51])
@pytest.mark.parametrize("emulated", [51, 250, 1000])
def test_linear_quadratic_rises_from_exactly_0_to_exactly_1(kind, steps, emulated):
    points = times.linear_quadratic(steps, emulated, kind)
    assert len(points) == steps + 1
    assert points[0] == 0.0
    assert points[-1] == 1.0
    assert bool((points.diff() > 0).all())


@pytest.mark.parametrize("kind", times.KINDS)
def test_first_half_follows_the_emulated_linear_schedule(kind):
    points = times.linear_quadratic(50, 1000, kind)
    torch.testing.assert_close(points[:26], times.linear(1000)[:26])


def test_slope_continuous_reading_keeps_the_linear_step_at_the_joint():
    points = times.linear_quadratic(50, 1000, "slope_continuous").double()
    steps = points.diff()
    curvature = steps[26:].diff()
    # The first curved step is the linear one plus half a second difference.
    assert abs(float(steps[25] - (0.001 + curvature.mean() / 2))) < 1e-6
    torch.testing.assert_close(curvature, curvature.mean().expand_as(curvature), rtol=0, atol=1e-6)


def test_slope_continuous_reading_equals_the_published_formula():
    steps, half, threshold = 50, 25, 0.025
    difference = half - threshold * steps
    square = difference / (half * (steps - half) ** 2)
    slope = threshold / half - 2 * difference / (steps - half) ** 2
    index = torch.arange(half, steps + 1, dtype=torch.float64)
    expected = square * index**2 + slope * index + square * half**2
    actual = times.linear_quadratic(steps, 1000, "slope_continuous")[half:].double()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def test_quadratic_reading_has_the_steps_of_the_fact_sheet():
    assert times.linear_quadratic(50, 250, "quadratic").diff()[25] == pytest.approx(0.00144, abs=1e-6)
    assert times.linear_quadratic(50, 1000, "quadratic").diff()[25] == pytest.approx(0.00156, abs=1e-6)


def test_as_many_emulated_as_real_steps_is_the_linear_schedule():
    torch.testing.assert_close(times.linear_quadratic(20, 20), times.linear(20))


def test_unusable_schedules_are_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="use 50 or more"):
        times.linear_quadratic(50, 49)
    with pytest.raises(ConfigError, match="at least 1"):
        times.linear(0)
    with pytest.raises(ConfigError, match="slope_continuous, quadratic"):
        times.linear_quadratic(50, kind="cubic")
    with pytest.raises(ConfigError, match="linear_quadratic, linear"):
        times.schedule("karras", 10)


def test_logit_normal_times_are_repeatable_and_centred():
    draw = lambda: times.logit_normal(20_000, generator=torch.Generator().manual_seed(1))
    sample = draw()
    assert torch.equal(sample, draw())
    assert sample.min() > 0
    assert sample.max() < 1
    logits = torch.logit(sample.double())
    assert abs(float(logits.mean())) < 0.03
    assert abs(float(logits.std()) - 1) < 0.03
