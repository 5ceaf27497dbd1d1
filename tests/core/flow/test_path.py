import pytest
import torch

from moviegen_core.errors import ShapeError
from moviegen_core.flow import path


def pair():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(3, 4, 2, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))


def test_path_starts_at_noise_and_ends_at_data():
    data, noise = pair()
    assert torch.equal(path.interpolate(data, noise, torch.zeros(3)), noise)
    end = path.interpolate(data, noise, torch.ones(3))
    torch.testing.assert_close(end, data + path.SIGMA_MIN * noise)


def test_velocity_is_the_derivative_of_the_path():
    data, noise = pair()
    step = 1e-4
    times = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    slope = (path.interpolate(data, noise, times + step) - path.interpolate(data, noise, times - step)) / (2 * step)
    torch.testing.assert_close(slope, path.velocity(data, noise), rtol=1e-8, atol=1e-8)


def test_exact_velocity_points_to_the_data_from_any_time():
    data, noise = pair()
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    estimate = path.estimate_data(path.interpolate(data, noise, times), path.velocity(data, noise), times)
    torch.testing.assert_close(estimate, data, rtol=0, atol=1e-4)


def test_times_that_do_not_match_the_batch_are_refused():
    data, noise = pair()
    with pytest.raises(ShapeError, match="one time per sample"):
        path.interpolate(data, noise, torch.zeros(2))


def test_data_and_noise_of_different_shape_are_refused():
    with pytest.raises(ShapeError, match="same shape"):
        path.velocity(torch.zeros(1, 2), torch.zeros(1, 3))
