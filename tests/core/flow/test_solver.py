import math

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.flow import path, times
from moviegen_core.flow.solver import integrate


@pytest.mark.parametrize("solver", ["euler", "midpoint"])
@pytest.mark.parametrize("points", [times.linear(1), times.linear_quadratic(7)])
def test_solver_reaches_data_when_velocity_is_exact(solver, points):
    data, noise = torch.randn(2, 2, 16, 2, 4, 4)
    result = integrate(lambda sample, time: path.velocity(data, noise), noise, points, solver)
    torch.testing.assert_close(result, data, rtol=0, atol=1e-4)


def test_midpoint_is_of_higher_order_than_euler():
    # d sample / d time = sample has the solution e.
    errors = {
        solver: [
            abs(float(integrate(lambda x, t: x, torch.ones(1, dtype=torch.float64), times.linear(n), solver)) - math.e)
            for n in (20, 40)
        ]
        for solver in ("euler", "midpoint")
    }
    assert errors["euler"][0] / errors["euler"][1] == pytest.approx(2, rel=0.05)
    assert errors["midpoint"][0] / errors["midpoint"][1] == pytest.approx(4, rel=0.05)


def test_network_is_asked_at_the_scheduled_times():
    points = times.linear_quadratic(4)
    asked = []
    integrate(lambda sample, time: asked.append(time) or torch.zeros_like(sample), torch.zeros(3, 1), points)
    torch.testing.assert_close(torch.stack(asked), points[:-1, None].expand(4, 3))


def test_midpoint_asks_half_way_between_the_scheduled_times():
    points, asked = times.linear_quadratic(4), []
    integrate(lambda x, t: asked.append(float(t[0])) or torch.zeros_like(x), torch.zeros(1, 1), points, "midpoint")
    assert asked[::2] == pytest.approx(points[:-1].tolist())
    assert asked[1::2] == pytest.approx(((points[:-1] + points[1:]) / 2).tolist())


def test_on_step_counts_from_1_and_sees_the_clean_estimate():
    data, noise = torch.randn(2, 1, 5)
    seen = []
    integrate(
        lambda sample, time: path.velocity(data, noise), noise, times.linear(3),
        on_step=lambda step, steps, estimate: seen.append((step, steps, estimate)),
    )  # fmt: skip
    assert [entry[:2] for entry in seen] == [(1, 3), (2, 3), (3, 3)]
    for *_, estimate in seen:
        torch.testing.assert_close(estimate, data, rtol=0, atol=1e-4)


def test_raising_in_on_step_stops_the_network_from_being_asked_again():
    asked = []

    def cancel(step, steps, estimate):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrate(lambda s, t: asked.append(1) or s, torch.zeros(1), times.linear(5), on_step=cancel)
    assert len(asked) == 2


def test_unknown_solver_and_falling_times_are_refused():
    with pytest.raises(ConfigError, match="euler, midpoint"):
        integrate(lambda s, t: s, torch.zeros(1), times.linear(2), "heun")
    with pytest.raises(ConfigError, match="rising"):
        integrate(lambda s, t: s, torch.zeros(1), times.linear(2).flip(0))


def test_sample_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="left the range of numbers, and what it made is lost; lower the guidance"):
        integrate(lambda sample, time: sample * 1e30, torch.ones(1, 2), times.linear(3))
