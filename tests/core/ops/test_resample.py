import pytest
import torch
from torch.overrides import TorchFunctionMode

from moviegen_core.ops import resample


class Grey(TorchFunctionMode):
    """What comes from the meta device is grey on the CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cpu and args[0].is_meta:
            return torch.zeros(args[0].shape)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("able", "mode", "height", "place"),
    [
        (("cpu", "meta"), "area", 70, "meta"),
        (("cpu", "meta"), "bicubic", 70, "meta"),
        (("cpu", "meta"), "area", 300, "meta"),
        (("cpu", "meta"), "bicubic", 300, "cpu"),  # more than 32 times smaller
        (("cpu",), "area", 70, "cpu"),
        (("cpu",), "bicubic", 70, "cpu"),
    ],
)
def test_pictures_are_resized_where_they_lie_if_their_device_can(able, mode, height, place, monkeypatch):
    monkeypatch.setattr(resample, "IN_PLACE", able)
    with Grey():
        small = resample.squares(torch.empty(2, 3, height, 40, device="meta", dtype=torch.bfloat16), 8, mode)
    assert (small.device.type, small.shape, small.dtype) == (place, (2, 3, 8, 8), torch.float32)


def test_pictures_of_the_size_stay_as_they_are():
    pictures = 3 * torch.rand(2, 3, 8, 8).bfloat16()
    assert resample.squares(pictures, 8, "bicubic") is pictures


def test_areas_are_averaged_and_bicubic_stays_within_the_colours():
    edge = torch.ones(1, 3, 32, 32)
    edge[..., :13] = -1
    assert resample.squares(edge, 2, "area")[0, 0].tolist() == [[-0.625, 1.0]] * 2
    assert resample.squares(edge, 16, "bicubic").abs().max() == 1.0
    assert torch.nn.functional.interpolate(edge, size=(16, 16), mode="bicubic", antialias=True).abs().max() > 1.0
