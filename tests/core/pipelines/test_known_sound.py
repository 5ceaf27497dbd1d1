"""Known sound on the model's grid: what is told, what is pasted, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.models.audio_codec.model import AudioCodec, AudioCodecConfig
from moviegen_core.pipelines.known_sound import Known, covers, encode_known, known_sound, paste_known
from moviegen_core.pipelines.sound_codec import encode_sound

HOP = 1920
CODEC = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(8,), latent_dim=8, latent_channels=4, decoder_dim=8, decoder_rates=(8,),
    watermark_rates=(), weight_norm=False, transform=240,
)  # fmt: skip


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    codec = AudioCodec(CODEC).eval()
    codec.reset_parameters()
    return codec


def noise(samples, channels=1):
    torch.manual_seed(samples)
    return torch.rand(channels, samples) - 0.5


@pytest.mark.parametrize(
    ("start", "length", "frames"),
    [
        (0, 10 * HOP, range(10)),
        (5 * HOP, 10 * HOP, range(5, 15)),
        (5 * HOP - 1, 10 * HOP + 2, range(5, 15)),
        (5 * HOP + 1, 10 * HOP - 2, range(6, 14)),
        (-3 * HOP, 10 * HOP, range(7)),
        (35 * HOP, 10 * HOP, range(35, 41)),  # the last frame of the sound is not full
        (7, HOP, range(0)),
    ],
)
def test_frames_that_are_wholly_covered_are_told(codec, start, length, frames):
    told = encode_known(codec, [Known(noise(length), start)], 40 * HOP + 100)
    if not frames:
        assert told is None
        return
    context, mask = told
    assert context.shape == (1, 4, 41)
    assert mask.nonzero()[:, 1].tolist() == list(frames)
    assert not context[:, :, ~mask[0]].any()


def test_whole_beginning_is_told_as_the_codec_encodes_it(codec):
    sound = noise(20 * HOP)
    context, mask = encode_known(codec, [Known(sound, 0)], 40 * HOP)
    whole = encode_sound(codec, sound[None])
    inner = 20 - CODEC.context_frames
    torch.testing.assert_close(context[:, :, :inner], whole[:, :, :inner], atol=1e-5, rtol=1e-4)
    assert int(mask.sum()) == 20


def test_place_does_not_change_what_is_told_of_the_inside(codec):
    sound = noise(40 * HOP)
    first, later = (encode_known(codec, [Known(sound, at * HOP)], 60 * HOP)[0] for at in (2, 9))
    inner = slice(CODEC.context_frames, 40 - CODEC.context_frames)
    torch.testing.assert_close(first[:, :, 2:42][:, :, inner], later[:, :, 9:49][:, :, inner], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [HOP, 3 * HOP, 40 * HOP])
def test_piece_is_told_as_if_it_went_on_like_its_mirror_image(codec, length):
    sound, around = noise(length), CODEC.context_frames * HOP
    context, _ = encode_known(codec, [Known(sound, 20 * HOP)], 90 * HOP)
    mirrored = sound
    for _ in range(1 + around // length):  # a piece shorter than its surroundings is mirrored again and again
        more = min(around, mirrored.shape[1] - 1)
        mirrored = torch.nn.functional.pad(mirrored, (more, more), mode="reflect")
    spare = (mirrored.shape[1] - length) // 2 - around
    wanted = encode_sound(codec, mirrored[None, :, spare : mirrored.shape[1] - spare])
    told = slice(20, 20 + length // HOP)
    assert torch.equal(context[:, :, told], wanted[:, :, CODEC.context_frames : -CODEC.context_frames])


class Places(TorchDispatchMode):
    """How many whole numbers any one tensor held."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.int64:
            self.most = max(self.most, result.numel())
        return result


def test_only_what_lies_beside_a_piece_is_looked_up(codec):
    with Places() as places:
        encode_known(codec, [Known(noise(200 * HOP), 5 * HOP)], 300 * HOP)
    assert places.most == CODEC.context_frames * HOP


@pytest.mark.parametrize("channels", [1, 2])
def test_known_pieces_are_pasted_and_joins_fade(channels):
    made, sound = torch.zeros(channels, 40 * HOP), torch.ones(1, 10 * HOP)
    pasted = paste_known(made, [Known(sound, 5 * HOP), Known(sound, 30 * HOP)])
    assert pasted.shape == made.shape
    assert not pasted[:, : 5 * HOP].any()
    assert bool((pasted[:, 5 * HOP + 480 : 15 * HOP - 480] == 1).all())
    assert bool((pasted[:, 30 * HOP + 480 :] == 1).all()), "the end of the sound has no join"
    assert float(pasted.diff(dim=1).abs().max()) < 0.01
    assert not made.any()


def test_piece_that_begins_and_ends_inside_latent_frames_changes_by_50_ms_at_most():
    pasted = paste_known(torch.zeros(1, 40 * HOP), [Known(torch.ones(1, 10 * HOP - 2), 5 * HOP + 1)])
    kept = (pasted[0] == 1).nonzero()[:, 0]
    assert (int(kept[0]), int(kept[-1])) == (6 * HOP + 480, 14 * HOP - 481)
    assert HOP + 480 == 0.05 * 48_000


def test_short_piece_is_pasted_though_it_tells_nothing():
    pasted = paste_known(torch.zeros(1, 10 * HOP), [Known(torch.ones(1, 1500), 2000)])
    assert bool((pasted[:, 2480:3020] == 1).all())


def test_gaps_cut_a_sound_into_pieces():
    pieces = known_sound(noise(48_000), gaps=[(0.25, 0.5), (0.9, 2.0)])
    assert [(piece.start, piece.stop) for piece in pieces] == [(0, 12_000), (24_000, 43_200)]
    assert torch.equal(pieces[1].waveform, noise(48_000)[:, 24_000:43_200])
    assert known_sound(noise(48_000), start_seconds=1.0, gaps=[(1.0, 1.5)])[0].start == 72_000


def test_rates_channels_and_bad_samples_are_put_right():
    surround = noise(8000, 8)
    surround[:, 10], surround[:, 20] = math.nan, 7.0
    (piece,) = known_sound(surround, 8000)
    assert piece.waveform.shape == (2, 48_000)
    assert float(piece.waveform.abs().max()) <= 1.0


def test_cover_is_found_where_nothing_is_left():
    pieces = [Known(noise(600), 400), Known(noise(500), 0)]
    assert covers(pieces, 1000)
    assert not covers(pieces, 1001)
    assert not covers(pieces[:1], 900)


@pytest.mark.parametrize(
    ("waveform", "options", "error", "remedy"),
    [
        (torch.zeros(1, 0), {}, MediaError, "is empty"),
        (torch.zeros(1, 480), {"start_seconds": math.nan}, ConfigError, "give its place"),
        (torch.zeros(1, 48_000), {"gaps": [(0.5, 0.2)]}, ConfigError, "end after it begins"),
        (torch.zeros(1, 48_000), {"gaps": [(1.5, 1.8)]}, ConfigError, "from 0 to 1 s; leave it out"),
        (torch.zeros(1, 48_000), {"sample_rate": 0}, MediaError, "must be positive"),
    ],
)
def test_impossible_known_sound_is_refused(waveform, options, error, remedy):
    with pytest.raises(error, match=remedy):
        known_sound(waveform, **options)
