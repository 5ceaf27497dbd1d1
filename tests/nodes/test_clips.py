"""Colour, joins and decoding into a file."""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.media.colour import anchor_colour
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.ops.windows import fade_in
from moviegen_host.video import VideoFromFile


@pytest.fixture
def vae(nodes, weights):
    return nodes["MovieGenTAELoader"].execute(weights["tae"], "fp32").args[0]


def film(path, level: float, frames=16, fps=8, size=(32, 48), sound=None):
    from comfy_api.latest import InputImpl

    write_movie(torch.full((3, frames, *size), level), path, fps, sound, crf=1)
    return InputImpl.VideoFromFile(str(path))


def film_of_stamps(path, stamps):
    """Pictures shown at `stamps` (milliseconds), each brighter than the one before."""
    from comfy_api.latest import InputImpl

    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps):
            picture = torch.full((32, 48, 3), 20 + 20 * index, dtype=torch.uint8)
            frame = av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return InputImpl.VideoFromFile(str(path))


def test_joined_clips_have_the_size_rate_and_sound_of_the_first(nodes, tmp_path):
    tone = 0.5 * torch.sin(torch.arange(96000) * 0.2).unsqueeze(0)
    first = film(tmp_path / "a.mp4", 0.8)
    second = film(tmp_path / "b.mp4", -0.8, frames=48, fps=24, size=(64, 64), sound=tone)
    [joined] = nodes["MovieGenJoinClips"].execute(first, second, 0.5, "crop").args
    movie = read_movie(joined.get_stream_source())
    assert (movie.width, movie.height, movie.fps) == (48, 32, 8)
    levels = movie.pixels().mean((0, 2, 3))
    assert len(levels) == 16 + 16 - 4
    assert levels[:12].min() > 0.75
    assert levels[-12:].max() < -0.75
    assert bool((levels[11:17].diff() < 0).all())
    quiet, loud = movie.waveform[:, : int(1.4 * 48000)], movie.waveform[:, int(2.1 * 48000) :]
    assert quiet.abs().max() < 0.02
    assert loud.std() > 0.3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_clips_in_memory_join_without_a_file(nodes, channels):
    from comfy_api.latest import InputImpl

    from moviegen_host.video import VideoComponents

    parts = VideoComponents(torch.rand(6, 17, 31, channels), Fraction(10))
    video = InputImpl.VideoFromComponents(parts)
    [joined] = nodes["MovieGenJoinClips"].execute(video, video, 0.0, "stretch").args
    assert joined.get_frame_count() == 12


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("place", ["first", "second"])
def test_film_of_varying_rate_shows_its_pictures_at_their_times(nodes, tmp_path, place, ending):
    stamps = [*range(0, 1000, 100), 5000, 5400]
    varying, steady = film_of_stamps(tmp_path / f"a.{ending}", stamps), film(tmp_path / "b.mp4", 0.0, 8)
    clips = (varying, steady) if place == "first" else (steady, varying)
    [joined] = nodes["MovieGenJoinClips"].execute(*clips, 0.0, "crop").args
    movie = read_movie(joined.get_stream_source())
    levels = movie.pixels().add(1).mul(127.5).mean((0, 2, 3))
    shown = levels[: len(stamps)] if place == "first" else levels[8:]
    assert len(shown) / movie.fps > 5
    due = [bisect_right(stamps, 1000 * (frame + 0.5) / movie.fps) - 1 for frame in range(len(shown))]
    assert ((shown - 20) / 20).round().int().tolist() == due


def test_film_whose_sound_outlasts_its_pictures_is_read_from_its_file_unless_it_is_cut(nodes, part, tmp_path):
    class AsComfyUI(VideoFromFile):
        """Lasts as long as the longest of its tracks, as ComfyUI's does; `duration` seconds of it when it is cut."""

        def __init__(self, file, duration=0.0):
            super().__init__(file)
            self.duration, self.held = duration, False

        def get_active_trim_window(self):
            return 0.0, self.duration

        def get_duration(self):
            return self.duration or 3.0

        def get_components(self):
            self.held = True
            return super().get_components()

    path = tmp_path / "a.mp4"
    film(path, 0.5, sound=torch.zeros(1, 96000))
    whole, cut = AsComfyUI(path), AsComfyUI(path, 1.0)
    clip = part("clips").as_clip(whole)
    assert (clip.num_frames, clip.fps, whole.held) == (16, 8, False)
    part("clips").as_clip(cut)
    assert cut.held


def test_joined_clips_are_fitted_and_faded_as_asked(nodes, tmp_path):
    first, second = film(tmp_path / "a.mp4", 0.8), film(tmp_path / "b.mp4", -0.8, size=(32, 96))
    levels = {}
    for fit, curve in (("crop", "linear"), ("pad", "linear"), ("crop", "cosine")):
        [joined] = nodes["MovieGenJoinClips"].execute(first, second, 1.0, fit, curve, 1.0).args
        levels[fit, curve] = read_movie(joined.get_stream_source()).pixels()[0]
    assert levels["crop", "linear"][-1, 0].mean() == pytest.approx(-0.8, abs=0.05)
    assert levels["pad", "linear"][-1, 0].mean() == pytest.approx(-1.0, abs=0.05)
    for curve in ("linear", "cosine"):
        wanted = 0.8 - 1.6 * fade_in(8, curve)
        torch.testing.assert_close(levels["crop", curve][8:16].mean((1, 2)), wanted, atol=0.03, rtol=0)


@pytest.mark.parametrize("node", ["JoinClips", "DecodeToVideo"])
def test_film_of_lower_quality_is_smaller(nodes, vae, tmp_path, node):
    sizes = []
    for crf in (1.0, 45.0):
        if node == "JoinClips":
            write_movie(torch.rand(3, 8, 64, 64) * 2 - 1, tmp_path / "a.mp4", 8, crf=1)
            given = (VideoFromFile(tmp_path / "a.mp4"), VideoFromFile(tmp_path / "a.mp4"), 0.0, "crop")
        else:
            given = ({"samples": torch.randn(1, 16, 2, 8, 8)}, vae, 8.0)
        [video] = nodes[f"MovieGen{node}"].execute(*given, crf=crf).args
        sizes.append(Path(video.get_stream_source()).stat().st_size)
    assert sizes[1] < sizes[0] / 2


def test_crossfade_that_does_not_fit_is_refused(nodes, tmp_path):
    video = film(tmp_path / "a.mp4", 0.0)
    with pytest.raises(ConfigError, match="use at most 2 s"):
        nodes["MovieGenJoinClips"].execute(video, video, 5.0, "crop")


def test_anchored_colours_come_from_the_reference(nodes):
    generator = torch.Generator().manual_seed(0)
    images, reference = (0.1 * torch.rand(3, 8, 8, 3, generator=generator) + level for level in (0.2, 0.6))
    [moved] = nodes["MovieGenAnchorColour"].execute(images, reference, 1.0, 24.0).args
    assert abs(float(moved.mean() - reference.mean())) < 0.01


@pytest.mark.parametrize(
    "asked", [{"strength": 0.5}, {"smoothing": 1.0}, {"method": "mean"}], ids=lambda asked: next(iter(asked))
)
def test_colours_are_anchored_as_asked(nodes, asked):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 8, 8, 3, generator=generator) * torch.linspace(0.3, 0.9, 6).view(6, 1, 1, 1)
    reference = 0.5 * torch.rand(2, 8, 8, 3, generator=generator)
    how = {"strength": 1.0, "smoothing": 24.0}
    [plain] = nodes["MovieGenAnchorColour"].execute(images, reference, **how).args
    [moved] = nodes["MovieGenAnchorColour"].execute(images, reference, **how | asked).args
    assert torch.equal(moved, anchor_colour(images, reference, **how | asked))
    assert not torch.allclose(moved, plain, atol=1e-3)


def test_film_file_gets_the_frames_that_tae_decode_gives(nodes, vae, part):
    latent = {"samples": torch.randn(1, 16, 5, 2, 4, generator=torch.Generator().manual_seed(0)), "num_frames": 37}
    [images] = nodes["MovieGenTAEDecode"].execute(latent, vae, 24, 8).args
    count, windows = part("runtime.standalone").stream_frames(vae, latent["samples"], 37)
    assert count == 37
    torch.testing.assert_close(part("convert").to_images(torch.cat([one.clone() for one in windows], 2)), images)
    [video] = nodes["MovieGenDecodeToVideo"].execute(latent, vae, 12.5).args
    assert (video.get_frame_count(), video.get_frame_rate()) == (37, Fraction(25, 2))
    brightness = video.get_components().images.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert brightness.abs().max() < 0.1


def test_batch_becomes_one_film_with_sound(nodes, vae):
    audio = {"waveform": 0.3 * torch.randn(1, 1, 96000), "sample_rate": 48000}
    [video] = nodes["MovieGenDecodeToVideo"].execute({"samples": torch.zeros(3, 16, 1, 4, 4)}, vae, 8.0, audio).args
    assert video.get_frame_count() == 24
    parts = video.get_components()
    assert parts.audio["waveform"].shape[-1] / 48000 == pytest.approx(2.0, abs=0.05)


def test_sounds_of_a_batch_are_refused_where_one_film_is_made(nodes, vae):
    audio = {"waveform": torch.zeros(2, 1, 96000), "sample_rate": 48000}
    with pytest.raises(ShapeError, match="a batch of 2 sounds was given; one video takes one"):
        nodes["MovieGenDecodeToVideo"].execute({"samples": torch.zeros(2, 16, 1, 4, 4)}, vae, 8.0, audio)


def test_picture_latents_are_refused(nodes, vae):
    with pytest.raises(ShapeError, match="TAE Encode"):
        nodes["MovieGenDecodeToVideo"].execute({"samples": torch.zeros(1, 4, 8, 8)}, vae, 16.0)


class FullFrames(TorchDispatchMode):
    """Counts the full-size frames [.., 3, t, H, W] that are in memory after each operation, whatever made them."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size, self.held, self.peak = (height, width), {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.ndim > 3 and result.is_floating_point():
            shape = result.shape
            if tuple(shape[-2:]) == self.size and 3 in shape[-4:-2]:
                storage = result.untyped_storage()
                frames = storage.nbytes() // (3 * self.size[0] * self.size[1] * result.element_size())
                self.held[storage.data_ptr()] = (StorageWeakRef(storage), frames)
        self.held = {key: one for key, one in self.held.items() if not one[0].expired()}
        self.peak = max(self.peak, sum(frames for _, frames in self.held.values()))
        return result


def test_256_frames_hold_at_most_32_decoded_ones_at_once(nodes, vae):
    latent = {"samples": torch.randn(1, 16, 32, 2, 4, generator=torch.Generator().manual_seed(0)), "num_frames": 256}
    with FullFrames(16, 32) as count:
        [video] = nodes["MovieGenDecodeToVideo"].execute(latent, vae, 16.0).args
    assert video.get_frame_count() == 256
    assert 24 <= count.peak <= 32


class Linear:
    """A decoder whose frames are a known function of the latent: the first latent frame is one picture."""

    def __init__(self, stride: int) -> None:
        self.stride, self.longest = stride, 0

    def length(self, count: int) -> int:
        return self.stride * count - (self.stride - 1)

    def decode(self, samples: torch.Tensor) -> torch.Tensor:
        self.longest = max(self.longest, samples.shape[2])
        frames = samples[:, :1].repeat_interleave(self.stride, 2)[:, :, self.stride - 1 :]
        return frames.expand(-1, 3, -1, -1, -1).clone()


@pytest.mark.parametrize("stride", [1, 4, 6, 8])
@pytest.mark.parametrize("count", [1, 3, 5, 21])
def test_other_decoders_give_the_whole_clip_window_by_window(stride, count, part):
    streams, decoder = part("runtime.streams"), Linear(stride)
    samples = torch.arange(float(count)).view(1, 1, count, 1, 1).expand(1, 4, count, 2, 2)
    windows = list(streams.decode_in_windows(decoder.decode, samples, decoder.length))
    assert decoder.longest <= max(3, 1 + 12 // stride)
    frames = torch.cat(windows, 2)
    assert frames.shape == (1, 3, decoder.length(count), 2, 2)
    # A window's first picture stands for the last of its latent frame's, so values never run away by more than one.
    assert (frames - decoder.decode(samples)).abs().max() <= 1.0


def minimax_length(count):
    """Frames of MiniMax H3: 5 for 2 latent frames, 17 more with every 5."""
    return max(1, (count - 2) // 5 * 17 + 5)


def test_decoders_whose_lengths_grow_with_every_fifth_latent_frame_decode_in_windows(part):
    streams, asked = part("runtime.streams"), []

    def decode(samples):
        """Frames that are 17 / 5 of their latent frame's number, as its own first one says."""
        asked.append(samples.shape[2])
        count = minimax_length(samples.shape[2])
        frames = samples[0, 0, 0, 0, 0] * 17 / 5 + torch.arange(float(count))
        return frames.view(1, 1, -1, 1, 1).expand(1, 3, -1, 2, 2).clone()

    samples = torch.arange(37.0).view(1, 1, -1, 1, 1).expand(1, 4, -1, 2, 2)
    frames = torch.cat(list(streams.decode_in_windows(decode, samples, minimax_length)), 2)
    assert max(asked) == 7
    assert torch.allclose(frames[0, 0, :, 0, 0], torch.arange(124.0), atol=1e-3)


@pytest.mark.parametrize(
    ("count", "length"), [(40, minimax_length), (40, lambda count: count * count)], ids=["between lengths", "no rule"]
)
def test_lengths_that_no_window_fits_decode_whole(count, length, part):
    streams, asked = part("runtime.streams"), []

    def decode(samples):
        asked.append(samples.shape[2])
        return torch.zeros(1, 3, 5, 2, 2)

    list(streams.decode_in_windows(decode, torch.zeros(1, 4, count, 2, 2), length))
    assert asked == [count]
