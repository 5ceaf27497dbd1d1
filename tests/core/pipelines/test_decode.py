import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.models import catalog
from moviegen_core.models.tae.model import TAEConfig
from moviegen_core.pipelines.decode import decode_video, encode_video

CONFIG = TAEConfig(
    channels=(8, 8, 8, 8), spatial_strides=(2, 1, 1), stem_fold=4, norm_groups=4, encoder_blocks=(1, 0, 0, 0),
    decoder_blocks=(0, 0, 0, 1), subpixel=True, linear_path=True, mid_attention=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def tae():
    torch.manual_seed(0)
    network = catalog.build("tae", CONFIG, device="cpu").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def latents(frames, batch=1):
    return torch.randn(batch, 16, frames, 2, 2, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(("frames", "num_frames"), [(1, 1), (1, 5), (3, 24), (4, 26), (4, 32)])
def test_a_window_as_long_as_the_clip_decodes_it_whole(tae, frames, num_frames):
    windows = list(decode_video(tae, latents(frames, 2), num_frames))
    assert len(windows) == 1
    assert torch.equal(windows[0], tae.decode(latents(frames, 2), num_frames).clamp(-1, 1))


@pytest.mark.parametrize("frames", [5, 6, 7, 8, 11])
@pytest.mark.parametrize("spurious", [0, 1, 7])
@pytest.mark.parametrize(("window", "overlap"), [(32, 16), (16, 8), (32, 0), (24, 16)])
def test_windows_give_exactly_the_frames_asked_for(tae, frames, spurious, window, overlap):
    num_frames = 8 * frames - spurious
    made = list(decode_video(tae, latents(frames), num_frames, window_frames=window, overlap_frames=overlap))
    assert sum(piece.shape[2] for piece in made) == num_frames
    assert max(piece.shape[2] for piece in made) <= window
    assert all(piece.shape[2] > 0 for piece in made)


@pytest.mark.parametrize(("frames", "window"), [(5, 32), (9, 32), (3, 16), (5, 16)])
def test_the_last_frames_move_whatever_the_windows_leave_over(tae, frames, window):
    latent = latents(frames)
    made = torch.cat(list(decode_video(tae, latent, window_frames=window, overlap_frames=0)), dim=2)
    assert made.diff(dim=2).abs().amax(dim=(0, 1, 3, 4)).min() > 1e-3
    torch.testing.assert_close(made[:, :, -8:], tae.decode(latent[:, :, -2:]).detach()[:, :, 8:].clamp(-1, 1))


def test_outside_the_overlaps_the_blend_is_the_window_itself(tae):
    latent = latents(6)
    made = torch.cat(list(decode_video(tae, latent)), dim=2)
    first, second = tae.decode(latent[:, :, :4]).detach(), tae.decode(latent[:, :, 2:]).detach()
    torch.testing.assert_close(made[:, :, :16], first[:, :, :16].clamp(-1, 1))
    torch.testing.assert_close(made[:, :, 32:], second[:, :, 16:].clamp(-1, 1))
    middle = (first[:, :, 24] + second[:, :, 8]) / 2  # half way through the overlap of 16 frames
    torch.testing.assert_close(made[:, :, 24], middle.clamp(-1, 1))


def test_frames_past_the_ones_asked_for_cost_nothing(tae):
    calls = []

    class Counting(torch.nn.Module):
        config, latent_std = tae.config, tae.latent_std

        def decode(self, latent):
            calls.append(latent.shape[2])
            return tae.decode(latent)

    assert sum(piece.shape[2] for piece in decode_video(Counting(), latents(12), 16)) == 16
    assert calls == [4]


def test_decoding_holds_one_window_at_a_time(tae):
    made = []
    for piece in decode_video(tae, latents(12)):
        gc.collect()
        assert sum(reference() is not None for reference in made) <= 1
        made.append(weakref.ref(piece))
    assert len(made) == 5


def test_decoding_leaves_gradients_on_for_its_caller(tae):
    pieces = decode_video(tae, latents(6))
    next(pieces)
    assert torch.is_grad_enabled()


def test_encoding_does_not_depend_on_how_the_clip_is_cut(tae):
    pixels = torch.rand(1, 3, 75, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = encode_video(tae, pixels)
    assert whole.shape == (1, 16, 10, 2, 2)
    for size in (1, 7, 40, 75):
        assert torch.equal(encode_video(tae, iter(pixels.split(size, dim=2))), whole)
    torch.testing.assert_close(whole[:, :, 4:8], tae.encode(pixels[:, :, 32:64]).detach())


def test_lengths_that_do_not_fit_are_refused_before_any_work(tae):
    with pytest.raises(ConfigError, match="must be a multiple of 8, 8 or more; use 32"):
        decode_video(tae, latents(2), window_frames=30)
    for window in (0, -8):
        with pytest.raises(ConfigError, match=f"window of {window} frames .* use 8"):
            encode_video(tae, latents(2), window_frames=window)
    with pytest.raises(ConfigError, match="smaller than the window"):
        decode_video(tae, latents(2), window_frames=16, overlap_frames=16)
    with pytest.raises(ConfigError, match="a window of 8 frames decodes to stills; use 16 or more"):
        decode_video(tae, latents(2), window_frames=8, overlap_frames=0)
    with pytest.raises(ShapeError, match="hold 1 to 16"):
        decode_video(tae, latents(2), 17)
    with pytest.raises(ShapeError, match="at least 1"):
        encode_video(tae, iter([]))


def test_clip_stays_on_its_device_where_a_host_left_the_statistics_behind():
    """As ComfyUI does when it loads a network in part."""
    place = []
    away = SimpleNamespace(
        config=SimpleNamespace(temporal_stride=8),
        latent_std=torch.ones(1, dtype=torch.bfloat16, device="meta"),
        decode=lambda latent: place.append((latent.device.type, latent.dtype)) or torch.zeros(1, 3, 16, 8, 8),
        encode=lambda pixels: place.append((pixels.device.type, pixels.dtype)) or torch.zeros(1, 16, 2, 1, 1),
    )
    list(decode_video(away, torch.zeros(1, 16, 2, 1, 1)))
    encode_video(away, torch.zeros(1, 3, 16, 8, 8))
    assert place == [("cpu", torch.bfloat16)] * 2


class FullFrames(TorchDispatchMode):
    """Counts the frames [.., 3, .., H, W] of full size that are in memory after each operation."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size, self.held, self.peak = (height, width), {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and tuple(result.shape[-2:]) == self.size and result.shape[1:2] == (3,):
            storage = result.untyped_storage()
            frames = storage.nbytes() // (3 * self.size[0] * self.size[1] * result.element_size())
            self.held[storage.data_ptr()] = (StorageWeakRef(storage), frames)
        self.held = {key: one for key, one in self.held.items() if not one[0].expired()}
        self.peak = max(self.peak, sum(frames for _, frames in self.held.values()))
        return result


@pytest.mark.parametrize("frames", [8, 32])
def test_a_caller_that_drops_its_pieces_holds_one_window_and_one_overlap(tae, frames):
    with FullFrames(16, 16) as count:
        total = 0
        for piece in decode_video(tae, latents(frames), window_frames=24, overlap_frames=8):
            total += piece.shape[2]
            del piece
    assert total == 8 * frames
    assert 24 <= count.peak <= 32
