"""The sound pipeline on tiny random models: lengths to the sample, films, words, known sound, refusals."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from moviegen_core.conditioning.sound import FrameEncoders
from moviegen_core.errors import ConfigError, MediaError, ShapeError
from moviegen_core.media.loudness import true_peak
from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.memory import growth
from moviegen_core.models.audio_codec.model import AudioCodec, AudioCodecConfig
from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig
from moviegen_core.models.sound_match.model import SoundMatch, SoundMatchConfig
from moviegen_core.ops.memory import keep_large_buffers
from moviegen_core.pipelines.known_sound import known_sound
from moviegen_core.pipelines.sound import long_sound
from moviegen_core.pipelines.sound_codec import decode_sound
from moviegen_core.pipelines.sound_parts import SoundParts
from moviegen_core.pipelines.sound_request import request_caption
from moviegen_core.pipelines.sound_scoring import MatchScorer
from moviegen_core.pipelines.soundtrack import SoundPipeline, condition_sound, finish_sound
from moviegen_core.pipelines.watching import watch_frames

CODEC = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(8,), latent_dim=8, latent_channels=4, decoder_dim=8, decoder_rates=(8,),
    watermark_rates=(), weight_norm=False, transform=240,
)  # fmt: skip
MATCH = SoundMatchConfig(channels=(8, 8, 8), dim=16, feature_dim=4, shared_dim=4, dilations=(1,), text_dim=6)
RATES = (12, 16, 23.976, 24, 25, 29.97, 30, 60)


class Letters:
    """Text features that count letters: an encoder without weights."""

    def encode(self, texts):
        rows = [[float(text.count(letter)) for letter in "abcde7"] for text in texts]
        return torch.tensor(rows)[:, None], torch.ones(len(texts), 1, dtype=torch.bool)


def build_parts(**changes) -> SoundParts:
    """Tiny random networks that fit together."""
    torch.manual_seed(0)
    config = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=6, frame_dim=8)
    built = [AudioCodec(CODEC), AudioDiT(config), SoundMatch(MATCH)]
    for network in built:
        network.reset_parameters()
    for parameter in built[1].parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    codec, model, match = (network.eval() for network in built)
    sampling = {"steps": 2, "window_seconds": 2.0, "context_seconds": 0.5}
    whole = {"codec": codec, "model": model, "words": Letters(), "eyes": FrameEncoders(motion=match), "match": match}
    return SoundParts(**{**whole, "sampling": sampling, **changes})


@pytest.fixture(scope="module")
def pipeline() -> SoundPipeline:
    return SoundPipeline(build_parts())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A silent film of 0.75 s at 16 frames a second."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    torch.manual_seed(0)
    write_movie(torch.rand(3, 12, 32, 48) * 2 - 1, path, 16)
    return path


def frames(count: int) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.rand(3, count, 8, 8) * 2 - 1


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("count", [1, 31])
def test_sound_of_frames_is_as_long_as_the_clip_to_the_sample(pipeline, fps, count):
    exact = {23.976: Fraction(24000, 1001), 29.97: Fraction(30000, 1001)}.get(fps, Fraction(fps))
    made = pipeline(frames=frames(count), fps=fps, steps=1)
    assert made.waveform.shape == (1, round(count / exact * 48000))
    assert made.waveform.dtype == torch.float32


def test_sound_of_a_film_file_is_as_long_as_the_film(pipeline, film):
    made = pipeline(video=film)
    assert made.waveform.shape == (1, 36_000)
    assert made.duration_seconds == 0.75


@pytest.mark.parametrize("fps", RATES)
def test_sound_of_a_file_is_exact_at_every_frame_rate(pipeline, tmp_path, fps):
    count = math.ceil(fps / 2)
    write_movie(frames(count).repeat_interleave(4, 2).repeat_interleave(4, 3), tmp_path / "film.mp4", fps)
    exact = {23.976: Fraction(24000, 1001), 29.97: Fraction(30000, 1001)}.get(fps, Fraction(fps))
    assert pipeline(video=tmp_path / "film.mp4", steps=1).waveform.shape[1] == round(count / exact * 48000)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), 60])
def test_three_minutes_are_exact_and_take_little_memory(pipeline, tmp_path, fps):
    count = round(180 * fps)
    windows = (
        frames(60).repeat_interleave(4, 2).repeat_interleave(4, 3)[:, : count - start] for start in range(0, count, 60)
    )
    write_movie(windows, tmp_path / "film.mp4", fps, preset="ultrafast")
    pipeline(video=tmp_path / "film.mp4", steps=1, method="multidiffusion")
    with growth() as grown:
        made = pipeline(video=tmp_path / "film.mp4", steps=1)
        assert grown() < 250e6  # the waveform alone is 35 MB, a few times of which finishing takes
    assert made.waveform.shape[1] == round(count / Fraction(fps) * 48000)


def test_windows_with_their_own_times_fix_the_length(pipeline):
    windows = [(frames(2), [0.0, 0.1]), (frames(2), [0.3, 0.6])]
    assert pipeline(frames=iter(windows)).waveform.shape[1] == round(0.8 * 48000)
    assert pipeline(frames=iter(windows), seconds=1.0).waveform.shape[1] == 48000
    with pytest.raises(ShapeError, match="give seconds"):
        pipeline(frames=[(frames(1), [0.0])])


def test_tensor_and_windows_of_the_same_frames_sound_alike(pipeline):
    clip = frames(20)
    whole, parts = pipeline(frames=clip, fps=24), pipeline(frames=clip.split(3, dim=1), fps=24)
    torch.testing.assert_close(whole.waveform, parts.waveform, atol=1e-5, rtol=0)


def test_one_seed_gives_one_sound_and_words_pictures_and_music_change_it(pipeline):
    clip = frames(8)
    plain = pipeline("a dab", frames=clip, fps=16)
    assert torch.equal(plain.waveform, pipeline("a dab", frames=clip, fps=16).waveform)
    for prompt, more in (
        ("a dab", {"seed": 1}),
        ("a faced bead", {}),
        ("a dab", {"music": "a calm cadence"}),
        ("a dab", {"quality": 3.0}),
        ("a dab", {"negative": "a bad cafe"}),
    ):
        assert not torch.equal(plain.waveform, pipeline(prompt, frames=clip, fps=16, **more).waveform), more
    assert not torch.equal(plain.waveform, pipeline("a dab", frames=clip.flip(1), fps=16).waveform)


def test_sound_without_clip_or_words_says_so(pipeline, caplog):
    with caplog.at_level(logging.WARNING):
        assert pipeline(seconds=0.5).waveform.shape == (1, 24_000)
    assert "whatever the model likes" in caplog.text


def test_silence_is_told_where_something_was_asked_for(film, caplog):
    parts = build_parts()
    with torch.no_grad():
        parts.codec.linear.synthesis.weight.zero_()
    silent = SoundPipeline(parts)
    known = known_sound(torch.zeros(1, 9600))
    for prompt, asked in (("", {"video": film}), ("", {"seconds": 0.5}), ("rain", {"seconds": 0.5, "known": known})):
        assert float(silent(prompt, **asked, steps=1).waveform.abs().max()) <= 1e-4
    assert "the sound is silent" not in caplog.text
    for prompt, music in (("rain", ""), ("", "calm")):
        caplog.clear()
        silent(prompt, music=music, seconds=0.5, steps=1)
        assert caplog.text.count("the sound is silent; where more was meant, try another seed, or more words") == 1


def test_guidance_of_pictures_without_any_is_told(pipeline, film, caplog):
    pipeline("rain", video=film, picture_guidance=5, steps=1)
    pipeline("rain", seconds=0.5, steps=1)
    assert "picture guidance" not in caplog.text
    pipeline("rain", seconds=0.5, picture_guidance=5, steps=1)
    assert "picture guidance changes nothing where there are no pictures" in caplog.text


def test_sound_longer_than_a_window_is_made_both_ways(pipeline):
    for method in ("extend", "multidiffusion"):
        steps = []
        made = pipeline(
            "abc", seconds=5.01, method=method, on_step=lambda step, total, _, seen=steps: seen.append(step)
        )
        assert made.waveform.shape == (1, round(5.01 * 48000))
        assert steps == list(range(1, len(steps) + 1))


def test_raising_from_a_callback_cancels(pipeline):
    def stop(*_):
        raise KeyboardInterrupt

    for callback in ({"on_step": stop}, {"on_frames": stop}):
        with pytest.raises(KeyboardInterrupt):
            pipeline(frames=frames(4), fps=16, **callback)


def test_each_network_is_on_the_device_for_its_own_work_alone():
    there, watching, sampling = [], [], []

    @contextmanager
    def noted(network, device):
        assert device == torch.device("cpu")
        assert not there
        there.append(network)
        yield network
        there.remove(network)

    pipeline = SoundPipeline(build_parts(match=None), residency=noted)
    parts = pipeline.parts
    pipeline(
        "a ball", frames=frames(4), fps=16, known=known_sound(torch.zeros(1, 4800)),
        on_frames=lambda _: watching.append(list(there)), on_step=lambda *_: sampling.append(list(there)),
    )  # fmt: skip
    assert watching[-1] == [parts.eyes.motion]
    assert sampling == [[parts.model]] * 2
    assert there == []


def test_known_beginning_comes_back_and_the_rest_is_made(pipeline):
    beginning = torch.sin(torch.arange(24_000) / 20)[None] * 0.5
    made = pipeline(seconds=1.0, known=known_sound(beginning)).waveform
    kept = 24_000 // 1920 * 1920 - 480
    assert torch.equal(made[:, :kept], beginning[:, :kept])
    assert not torch.allclose(made, pipeline(seconds=1.0).waveform, atol=1e-3)


def test_two_channels_fold_back_to_the_mono_sound(pipeline):
    quiet = build_parts().codec
    with torch.no_grad():
        quiet.linear.synthesis.weight.mul_(0.05)
    latent = torch.randn(1, 4, 20, generator=torch.Generator().manual_seed(1))
    mono, stereo = (finish_sound(quiet, latent, 38_000, channels=channels) for channels in (1, 2))
    assert stereo.shape == (2, 38_000)
    folded = stereo.mean(0, keepdim=True)
    scale = float((folded * mono).sum() / mono.square().sum())
    torch.testing.assert_close(folded, scale * mono, atol=1e-5, rtol=0)
    assert not torch.allclose(stereo[0], stereo[1], atol=1e-3)


def test_stereo_that_is_known_stays_stereo(pipeline):
    beginning = torch.stack([torch.sin(torch.arange(24_000) / 20), torch.cos(torch.arange(24_000) / 9)]) * 0.4
    made = pipeline(seconds=1.0, known=known_sound(beginning), channels=2).waveform
    assert torch.equal(made[:, :20_000], beginning[:, :20_000])


def test_known_sound_has_its_own_channels_unless_others_are_asked_for(pipeline):
    beginning = torch.stack([torch.sin(torch.arange(24_000) / 20), torch.cos(torch.arange(24_000) / 9)]) * 0.4
    assert torch.equal(pipeline(seconds=1.0, known=known_sound(beginning)).waveform[:, :20_000], beginning[:, :20_000])
    assert pipeline(seconds=1.0, known=known_sound(beginning), channels=1).waveform.shape[0] == 1
    mono = beginning[:1]
    made = pipeline(seconds=1.0, known=known_sound(mono), channels=2).waveform
    assert torch.equal(made[:, :20_000], mono[:, :20_000].expand(2, -1))
    assert not torch.allclose(made[0, 30_000:], made[1, 30_000:], atol=1e-3)


def test_quiet_decoding_is_left_as_it_is():
    quiet = build_parts().codec
    with torch.no_grad():
        quiet.linear.synthesis.weight.mul_(0.05)
    latent = torch.randn(1, 4, 20, generator=torch.Generator().manual_seed(1))
    decoded = decode_sound(quiet, latent, 38_000)[0]
    assert 0 < float(decoded.abs().max()) < 0.5
    torch.testing.assert_close(finish_sound(quiet, latent, 38_000), decoded, rtol=0, atol=1e-6)


def test_loud_decoding_is_held_under_the_ceiling(pipeline):
    latent = 40 * torch.randn(1, 4, 30)
    made = finish_sound(pipeline.parts.codec, latent, 50_000)
    assert made.shape == (1, 50_000)
    assert true_peak(made, 48_000) <= -0.99


def liked(pipeline, seeds, text_weight=0.5):
    """How well the match likes what `pipeline` makes of "abc" and frames(8) at 16 a second, seed by seed."""
    parts, request = pipeline.parts, pipeline.request("abc")
    watched, _ = watch_frames(parts.eyes, frames(8), 16, None)
    length = math.ceil(8 / 16 * 25)
    given = condition_sound(parts.words, request.captions()[0], watched.features(length))
    scorer = MatchScorer(match=parts.match, codec=parts.codec, text_weight=text_weight)
    made = [long_sound(parts.model, given, length, seed=seed, **request.settings) for seed in seeds]
    return [float(scorer(latent, given)) for latent in made]


def test_candidate_that_the_match_likes_best_is_kept(pipeline):
    scores = liked(pipeline, range(4))
    best = scores.index(max(scores))
    assert 0 < best < 3
    alone = pipeline("abc", frames=frames(8), fps=16, seed=best).waveform
    assert torch.equal(pipeline("abc", frames=frames(8), fps=16, candidates=4).waveform, alone)
    without = SoundPipeline(build_parts(match=None))
    with pytest.raises(ConfigError, match="need a scorer"):
        without("abc", seconds=1, candidates=2)


def test_candidates_of_words_that_the_match_does_not_read_are_ranked_by_their_pictures(caplog):
    match = SoundMatch(replace(MATCH, text_dim=7))
    match.reset_parameters()
    pipeline = SoundPipeline(build_parts(match=match, eyes=FrameEncoders(motion=match)))
    scores = liked(pipeline, range(4), text_weight=0.0)
    best = scores.index(max(scores))
    assert 0 < best < 3
    with caplog.at_level(logging.WARNING):
        made = pipeline("abc", frames=frames(8), fps=16, candidates=4).waveform
    assert torch.equal(made, pipeline("abc", frames=frames(8), fps=16, seed=best).waveform)
    assert "words of width 7, the text encoder's have 6: candidates are ranked by the pictures alone" in caplog.text

    def stop(*_):
        raise AssertionError("the sampling began")

    with pytest.raises(ConfigError, match="ask for 1 candidate"):
        pipeline("abc", seconds=1, candidates=2, on_step=stop)


def test_one_seed_gives_one_sound_with_its_watermark_unless_it_is_left_out():
    config = AudioCodecConfig(
        encoder_dim=8, encoder_rates=(2, 3, 4), latent_dim=8, latent_channels=4, decoder_dim=1536,
        decoder_rates=(2, 3, 2, 2), watermark_rates=(2, 2, 2, 2), weight_norm=False,
    )  # fmt: skip
    codec = AudioCodec(config).eval()
    codec.reset_parameters()
    latent = torch.randn(1, 4, 4)
    first, again, other = (finish_sound(codec, latent, 90, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    clean = [finish_sound(codec, latent, 90, seed=seed, watermark=False) for seed in (1, 2)]
    assert torch.equal(*clean)
    assert not torch.equal(first, clean[0])


def test_sounds_on_a_cpu_keep_their_large_buffers(sound_folder):
    keep_large_buffers.cache_clear()
    SoundPipeline.from_pretrained(sound_folder, device="cpu")
    assert keep_large_buffers.cache_info().currsize == 1


def test_sound_is_saved_in_the_place_of_an_older_one_and_drawn(pipeline, tmp_path):
    made = pipeline("abc", seconds=0.5)
    (tmp_path / "sound.wav").write_bytes(b"an older one")
    waveform, rate = read_sound(made.save(tmp_path / "sound.wav"))
    assert rate == 48_000
    torch.testing.assert_close(waveform, made.waveform, atol=5e-5, rtol=0)  # 16 bit
    assert made.picture(300, 100).size == (300, 100)


class Unseen:
    """Frames that nobody may look at."""

    def __iter__(self):
        raise AssertionError("the watching began")


UNSEEN = Unseen()


@pytest.mark.parametrize(
    ("asked", "error", "remedy"),
    [
        ({}, ConfigError, "give one of them"),
        ({"seconds": 0}, MediaError, "must last longer than 0"),
        ({"seconds": math.nan}, MediaError, "must last longer than 0"),
        ({"seconds": 10_800}, MediaError, "at most 1800 s: cut the film"),
        ({"frames": torch.zeros(3, 4, 8, 8)}, ConfigError, "give fps"),
        ({"frames": torch.zeros(3, 4, 8, 8), "fps": 0}, MediaError, "use a number above 0"),
        ({"frames": torch.zeros(3, 0, 8, 8), "fps": 24}, ShapeError, "give at least one"),
        ({"video": "nowhere.mp4"}, MediaError, "does not exist"),
        ({"video": "film.mp4", "seconds": 3}, ConfigError, "give the video alone"),
        ({"seconds": 1, "steps": 0}, ConfigError, "outside of 1 to 1000"),
        ({"seconds": 1, "seed": -1}, ConfigError, "use a number in that range"),
        ({"seconds": 1, "temperature": 2.5}, ConfigError, "1 is the noise as trained"),
        ({"seconds": 1, "guidance_scale": math.inf}, ConfigError, "the paper uses 3"),
        ({"seconds": 1, "picture_guidance": -2.0}, ConfigError, "picture_guidance -2 must lie from 0 to 100"),
        ({"seconds": 1, "channels": 8}, ConfigError, "choose 1"),
        ({"seconds": 1, "candidates": 1.5}, ConfigError, r"candidates is 1\.5; give a whole number"),
        ({"seconds": 1e300}, MediaError, "up to 1,000,000"),
        ({"seconds": 1, "window_seconds": 1e300}, ConfigError, "shorter than the window"),
        ({"seconds": 1, "known": torch.zeros(1, 9_600)}, ConfigError, "make them with known_sound"),
        ({"frames": np.zeros((3, 4, 8, 8)), "fps": 16}, ShapeError, "give a tensor"),
        ({"seconds": 1, "quality": 11}, ConfigError, "from 1 to 10"),
        ({"seconds": 1, "method": "magic"}, ConfigError, "use one of extend"),
        ({"frames": UNSEEN, "fps": 16, "method": "magic"}, ConfigError, "use one of extend"),
        ({"frames": UNSEEN, "fps": 16, "solver": "magic"}, ConfigError, "use one of euler"),
        (
            {"frames": UNSEEN, "fps": 16, "method": "multidiffusion", "candidates": 2},
            ConfigError,
            "choose extend",
        ),
        ({"seconds": 1, "context_seconds": 3}, ConfigError, "shorter than the window"),
        ({"seconds": 1, "known": known_sound(torch.zeros(1, 96_000))}, ConfigError, "nothing is left to be made"),
        ({"seconds": 1, "known": known_sound(torch.zeros(1, 9_600), 48_000, 3)}, ConfigError, "move it"),
    ],
)
def test_impossible_request_is_refused_before_the_work(pipeline, asked, error, remedy):
    def stop(*_):
        raise AssertionError("the sampling began")

    with pytest.raises(error, match=remedy):
        pipeline(**asked, on_step=stop)


def test_clip_is_refused_by_a_model_without_eyes(film):
    with pytest.raises(ConfigError, match="add one, or give prompt and seconds"):
        SoundPipeline(build_parts(eyes=None))(video=film)


def test_text_of_ten_thousand_characters_makes_a_sound(pipeline):
    assert pipeline("rain and " * 1112, music="x" * 10_000, seconds=0.5).waveform.isfinite().all()


def test_caption_says_what_was_asked_for_and_nothing_for_nothing():
    assert request_caption() == ""
    assert 'description: "rain"' in request_caption("rain")
    assert "0.00 likelihood" in request_caption("rain")
    spoken = request_caption("", "calm music")
    assert "0.95 likelihood" in spoken
    assert "quality: 8.0" in spoken
    with pytest.raises(ConfigError, match="one string each"):
        request_caption(["rain"])
