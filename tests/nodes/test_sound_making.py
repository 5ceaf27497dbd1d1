"""Video to Sound, Extend, Fill, Long Sound, sampler and decoder on the standalone runtime, with tiny networks."""

from __future__ import annotations

import json
import threading
from fractions import Fraction

import av
import pytest
import torch

from moviegen_core.errors import BackendError, ConfigError, MediaError, MovieGenError, ShapeError
from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import exact_fps
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.models.sound_match.model import SoundMatchConfig
from moviegen_core.pipelines.known_sound import FADE_SAMPLES, Known
from moviegen_core.pipelines.sound import long_sound, sample_sound
from moviegen_core.pipelines.sound_scoring import MatchScorer
from moviegen_core.pipelines.soundtrack import watch_video
from moviegen_host.errors import Cancelled
from moviegen_host.io import Hidden
from moviegen_host.session import Session, active
from moviegen_host.video import VideoComponents, VideoFromComponents, VideoFromFile

STEPS, FPS = 3, (12, 16, 23.976, 24, 25, 29.97, 30, 60)


class Parts:
    """The loaded networks, and each node as a function."""

    def __init__(self, nodes, weights, sound_weights):
        self.nodes = nodes
        roles = (weights[role] for role in ("ul2", "metaclip", "byt5"))
        self.clip = self.run("TextEncoderLoader", *roles)[0]
        self.model = self.run("AudioModelLoader", sound_weights["audio"])[0]
        self.vae = self.run("SoundVAELoader", sound_weights["audio_codec"])[0]
        self.eyes = self.run("FrameEncodersLoader", sound_weights["metaclip_vision"], sound_weights["sound_match"])[0]

    def run(self, name, *given, **named):
        return self.nodes[f"MovieGen{name}"].execute(*given, **named).args

    def asked(self, **named):
        return self.run("VideoToSound", self.clip, self.eyes, **named)

    def sampled(self, positive, latent, model=None, seed=5, **named):
        named = {"temperature": 1.0, "picture_cfg": 0.0, **named}
        return self.run("SoundSampler", model or self.model, positive, latent, seed, STEPS, 3.0, **named)[0]

    def decoded(self, latent, channels="mono"):
        return self.run("SoundDecode", latent, self.vae, channels)[0]["waveform"]


@pytest.fixture(scope="module")
def parts(nodes, weights, sound_weights):
    return Parts(nodes, weights, sound_weights)


def noise(seconds, rate=48000, channels=1, seed=0):
    samples = round(seconds * rate)
    made = 0.3 * torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(seed))
    return {"waveform": made.clamp(-0.9, 0.9), "sample_rate": rate}


def pictures(count, size=8):
    return torch.rand(count, size, size, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("fps", FPS)
def test_sound_is_as_long_as_the_clip_to_the_sample(fps, parts):
    frames = round(0.7 * fps)
    wanted = round(frames / exact_fps(fps) * 48000)
    _, _, latent = parts.asked(images=pictures(frames), fps=float(fps))
    video = VideoFromComponents(VideoComponents(pictures(frames), exact_fps(fps)))
    positive, _, same = parts.asked(video=video)
    assert latent["num_samples"] == same["num_samples"] == wanted
    assert positive[0][1]["moviegen_frames"].shape[2] == same["samples"].shape[2] == -(-wanted // 1920)
    assert parts.decoded(same, "stereo").shape == (1, 2, wanted)


def test_three_minutes_of_video_give_three_minutes_of_sound(parts, tmp_path):
    write_movie(torch.zeros(3, 2160, 16, 16), tmp_path / "long.mp4", 12, preset="ultrafast")
    positive, _, latent = parts.asked(video=VideoFromFile(tmp_path / "long.mp4"))
    assert latent["num_samples"] == 180 * 48000
    assert positive[0][1]["moviegen_frames"].shape[2] == 180 * 25


def test_video_is_seen_on_its_own_clock(parts, tmp_path):
    write_movie(pictures(40, 16).movedim(-1, 0) * 2 - 1, tmp_path / "clip.mp4", 29.97)
    positive, _, latent = parts.asked(video=VideoFromFile(tmp_path / "clip.mp4"), text="a red ball bounces")
    watched, samples = watch_video(parts.eyes, tmp_path / "clip.mp4")
    seen = positive[0][1]["moviegen_frames"][0]
    assert latent["num_samples"] == samples == round(40 * 1001 / 30000 * 48000)
    assert torch.equal(seen[1:].T, watched.features(latent["samples"].shape[2]))
    assert bool((seen[0] == 1).all())


def test_words_alone_decide_the_length_in_seconds(parts):
    positive, negative, latent = parts.asked(text="rain", music="calm piano", seconds=1.25)
    assert latent["num_samples"] == 60000
    assert "moviegen_frames" not in positive[0][1]
    assert bool((positive[0][0][..., 0] == 1).any())
    assert not bool(negative[0][0].any())


def test_sampler_makes_what_the_core_makes(parts, part):
    positive, negative, latent = parts.asked(images=pictures(20), fps=16.0, text="a red ball")
    made = parts.sampled(positive, latent, negative=negative)
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    wanted = sample_sound(parts.model.network, given, latent["samples"].shape[2], seed=5, steps=STEPS)
    assert (made["samples"] - wanted).abs().max() < 1e-5
    assert made["num_samples"] == latent["num_samples"]


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_long_form_is_the_cores(method, parts, part):
    positive, _, latent = parts.asked(images=pictures(40), fps=16.0)
    model = parts.run("LongSound", parts.model, method, 1.0, 0.4)[0]
    made = parts.sampled(positive, latent, model)["samples"]
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    options = {"method": method, "window_seconds": 1.0, "context_seconds": 0.4}
    wanted = long_sound(parts.model.network, given, latent["samples"].shape[2], seed=5, steps=STEPS, **options)
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampler_node_starts_from_as_much_noise_as_asked(parts, part, temperature):
    positive, _, latent = parts.asked(text="rain", seconds=1.0)
    given = {"seed": 5, "steps": STEPS, "cfg": 3.0, "temperature": temperature}
    made = parts.run("SoundSampler", parts.model, positive, latent, **given)[0]["samples"]
    conditions = part("sound_convert").conditioning(positive[0][0], None, None, 1, 32)
    length = latent["samples"].shape[2]
    wanted = long_sound(parts.model.network, conditions, length, seed=5, steps=STEPS, temperature=temperature)
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_sampler_node_guides_pictures_apart_from_words(parts, part, method):
    positive, _, latent = parts.asked(images=pictures(40), fps=16.0, text="rain")
    model = parts.run("LongSound", parts.model, method, 1.0, 0.4)[0]
    made = parts.sampled(positive, latent, model, picture_cfg=5.0)["samples"]
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    options = {"method": method, "window_seconds": 1.0, "context_seconds": 0.4, "picture_guidance": 5.0}
    wanted = long_sound(parts.model.network, given, latent["samples"].shape[2], seed=5, steps=STEPS, **options)
    assert (made - wanted).abs().max() < 1e-5
    assert (made - parts.sampled(positive, latent, model)["samples"]).abs().max() > 1e-3


def test_windows_default_to_what_the_file_recommends(parts, part, sound_weights, tmp_path):
    from moviegen_core.models import loading

    advice = {"window_seconds": 8.0, "context_seconds": 2.0, "guidance_scale": 3.0}
    path = loading.save(
        loading.load(sound_weights["audio"]), tmp_path / "advised.safetensors", extra={"sampling": advice}
    )
    model = parts.run("AudioModelLoader", str(path))[0]
    windows = part("runtime").host.windows_of
    assert (windows(model).window_seconds, windows(model).context_seconds) == (8.0, 2.0)
    assert (windows(parts.model).window_seconds, windows(parts.model).context_seconds) == (20.0, 5.0)
    shorter = windows(parts.run("LongSound", model, "extend", 2.0)[0])
    assert (shorter.window_seconds, shorter.context_seconds) == (2.0, 1.0)
    changed = parts.run("LongSound", model, "multidiffusion", 0.0, 3.0)[0]
    assert windows(changed) == part("sound_windows").Windows(
        method="multidiffusion", window_seconds=8.0, context_seconds=3.0
    )


@pytest.mark.parametrize(("direction", "start"), [("forwards", 0), ("backwards", 48000)])
def test_extended_sound_keeps_what_existed(direction, start, parts):
    audio = noise(1.5, channels=2)
    positive, negative, _ = parts.asked(text="rain")
    latent = parts.run("ExtendSound", audio, parts.vae, None, 1.0, direction, 0.5)[0]
    whole = parts.decoded(parts.sampled(positive, latent, negative=negative), "stereo")
    assert whole.shape == (1, 2, 120000)
    own = whole[:, :, start : start + 72000]
    edge = FADE_SAMPLES + 1920
    inner = slice(0, -edge) if direction == "forwards" else slice(edge, None)
    assert torch.equal(own[:, :, inner], audio["waveform"][:, :, inner])
    made = whole[:, :, 72000 + edge :] if direction == "forwards" else whole[:, :, : 48000 - edge]
    assert made.std() > 1e-4


def test_filled_gap_is_new_and_the_rest_is_not(parts):
    audio = noise(2.0)
    positive, _, _ = parts.asked(text="rain")
    latent = parts.run("FillSound", audio, parts.vae, None, 0.8, 1.2)[0]
    assert latent["noise_mask"].shape == (1, 1, 50)
    assert latent["noise_mask"][0, 0].nonzero().flatten().tolist() == list(range(20, 30))
    whole, given = parts.decoded(parts.sampled(positive, latent)), audio["waveform"]
    edge = FADE_SAMPLES + 1920
    assert torch.equal(whole[..., : 38400 - edge], given[..., : 38400 - edge])
    assert torch.equal(whole[..., 57600 + edge :], given[..., 57600 + edge :])
    assert (whole - given)[..., 38400:57600].std() > 0.01


def free_in(latent):
    """Sound frames that are to be made."""
    return latent["noise_mask"][0, 0].nonzero().flatten().tolist()


def test_gap_in_sound_that_is_known_already_is_made_anew(parts):
    audio, positive = noise(2.0), parts.asked(text="rain")[0]
    first = parts.run("FillSound", audio, parts.vae, None, 0.4, 0.8)[0]
    second = parts.run("FillSound", audio, parts.vae, first, 1.2, 1.6)[0]
    assert free_in(second) == list(range(30, 40))
    whole, given = parts.decoded(parts.sampled(positive, second)), audio["waveform"]
    assert (whole - given)[..., 57600:76800].std() > 0.01
    edge = FADE_SAMPLES + 1920
    assert torch.equal(whole[..., edge : 57600 - edge], given[..., edge : 57600 - edge])
    begun = parts.asked(text="rain", seconds=2.0, context_audio=noise(1.0, seed=1), vae=parts.vae)[2]
    assert free_in(parts.run("FillSound", audio, parts.vae, begun, 0.4, 0.8)[0]) == list(range(10, 20))
    short = parts.run("FillSound", noise(1.0), parts.vae, begun, 0.4, 0.8)[0]
    assert free_in(short) == [*range(10, 20), *range(25, 50)]


@pytest.mark.parametrize(
    ("begin", "end", "left"),
    [(0, 3, [(3, 10)]), (4, 6, [(2, 4), (6, 10)]), (8, 99, [(2, 8)]), (0, 99, []), (5, 5, [(2, 10)])],
)
def test_known_pieces_lose_what_lies_in_the_gap(part, begin, end, left):
    piece = Known(torch.arange(2.0, 10.0)[None], 2)
    rest = part("sound_latent").without(piece, begin, end)
    assert [(one.start, one.stop) for one in rest] == left
    assert all(one.waveform[0].tolist() == list(range(one.start, one.stop)) for one in rest)


def test_known_sound_goes_to_the_device_of_the_latent(parts):
    latent = {"samples": torch.zeros(1, 128, 50, device="meta"), "noise_mask": torch.ones(1, 1, 50)}
    filled = parts.run("FillSound", noise(2.0), parts.vae, latent, 0.4, 0.8)[0]
    assert filled["samples"].device.type == filled["noise_mask"].device.type == "meta"


def test_context_audio_begins_the_sound_of_a_video(parts):
    audio = noise(1.0, rate=8000, channels=8)
    latent = parts.asked(images=pictures(32), fps=16.0, context_audio=audio, vae=parts.vae)[2]
    assert latent["noise_mask"][0, 0].tolist() == [0.0] * 25 + [1.0] * 25


def steps_of(work):
    """Steps that a run of the sampler announces."""
    seen = []
    with active(Session(on_progress=seen.append)):
        work()
    assert [one.value for one in seen] == list(range(1, len(seen) + 1))
    assert {one.maximum for one in seen} == {len(seen)}
    assert all(one.preview.size == (512, 128) for one in seen)
    return len(seen)


def test_only_the_surroundings_of_a_gap_are_looked_at(parts):
    positive, _, _ = parts.asked(text="rain")
    latent = parts.run("FillSound", noise(60.0), parts.vae, None, 30.0, 31.0, 1.0)[0]
    model = parts.run("LongSound", parts.model, "extend", 3.0, 1.0)[0]
    assert steps_of(lambda: parts.sampled(positive, latent, model)) == STEPS
    whole = {**latent, "context_seconds": 60.0}
    # Of thirty windows two hold a part of the gap; those of known sound alone are not made.
    assert steps_of(lambda: parts.sampled(positive, whole, model)) == 2 * STEPS


def test_best_of_the_candidates_is_kept(parts, part):
    positive, _, latent = parts.asked(images=pictures(20), fps=16.0, text="a red ball")
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    single = [parts.sampled(positive, latent, seed=5 + number)["samples"] for number in range(4)]
    scorer = MatchScorer(match=parts.eyes.motion, codec=parts.vae.network)
    scores = [float(scorer(one, given)[0]) for one in single]
    assert len(set(scores)) == 4
    ears = {"frame_encoders": parts.eyes, "vae": parts.vae}
    best = parts.sampled(positive, latent, candidates=4, **ears)["samples"]
    assert torch.equal(best, single[scores.index(max(scores))])
    assert steps_of(lambda: parts.sampled(positive, latent, candidates=4, **ears)) == 4 * STEPS


def write_match(tmp_path, text_dim):
    """A sound match whose words have another width."""
    from moviegen_core.models import catalog, loading

    config = SoundMatchConfig(image_size=16, channels=(8, 8), dim=16, feature_dim=8, shared_dim=8, text_dim=text_dim)
    network = catalog.build("sound_match", config, device="cpu")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return str(loading.save(network.eval(), tmp_path / "match.safetensors"))


def test_match_that_reads_other_words_ranks_by_the_pictures_alone(parts, part, sound_weights, tmp_path):
    match = write_match(tmp_path, 24)
    eyes = parts.run("FrameEncodersLoader", sound_weights["metaclip_vision"], match)[0]
    positive, _, latent = parts.run("VideoToSound", parts.clip, eyes, images=pictures(20), fps=16.0, text="a red ball")
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    scorer = MatchScorer(match=eyes.motion, codec=parts.vae.network, text_weight=0.0)
    single = [parts.sampled(positive, latent, seed=5 + number)["samples"] for number in range(3)]
    scores = [float(scorer(one, given)[0]) for one in single]
    ears = {"candidates": 3, "frame_encoders": eyes, "vae": parts.vae}
    assert torch.equal(parts.sampled(positive, latent, **ears)["samples"], single[scores.index(max(scores))])
    with pytest.raises(ConfigError, match="ask for 1 candidate"):
        parts.sampled(parts.asked(text="rain")[0], latent, **ears)


def test_candidates_seen_by_other_encoders_are_refused_before_any_is_made(parts, sound_weights, tmp_path):
    from moviegen_core.models import catalog, loading

    config = AudioDiTConfig(dim=32, num_heads=2, num_layers=1, mlp_dim=48, text_dim=32, frame_dim=16)
    path = loading.save(catalog.build("audio_dit", config, device="cpu"), tmp_path / "tower_alone.safetensors")
    model = parts.run("AudioModelLoader", str(path))[0]
    tower = parts.run("FrameEncodersLoader", sound_weights["metaclip_vision"], "none")[0]
    positive, _, latent = parts.run("VideoToSound", parts.clip, tower, images=pictures(8), fps=8.0)
    assert parts.sampled(positive, latent, model)["samples"].isfinite().all()
    seen = []
    with active(Session(on_progress=seen.append)), pytest.raises(ShapeError, match="that Video to Sound read"):
        parts.sampled(positive, latent, model, candidates=2, frame_encoders=parts.eyes, vae=parts.vae)
    assert seen == []


class Cut(VideoFromFile):
    """A film of which only a part is shown."""

    def get_active_trim_window(self):
        return 2.0, 0.5


def test_what_is_skipped_of_a_cut_video_counts_and_can_be_cancelled(parts, tmp_path):
    write_movie(torch.zeros(3, 80, 16, 16), tmp_path / "film.mp4", 16, preset="ultrafast")
    seen, cancel = [], threading.Event()
    with active(Session(on_progress=seen.append)):
        parts.asked(video=Cut(tmp_path / "film.mp4"))
    values = [one.value for one in seen]
    assert values == sorted(set(values))
    assert values[0] < 32 < 40 <= values[-1] <= 80

    def report(progress):
        seen.append(progress)
        cancel.set()

    seen.clear()
    with active(Session(on_progress=report, cancel=cancel)), pytest.raises(Cancelled):
        parts.asked(video=Cut(tmp_path / "film.mp4"))
    assert [one.value for one in seen] == values[:1]


def test_each_sound_of_a_batch_has_noise_of_its_own(parts):
    positive, _, _ = parts.asked(text="rain")
    latent = parts.run("EmptySoundLatent", seconds=1.0, batch_size=2)[0]
    first, second = parts.sampled(positive, latent)["samples"]
    assert (first - second).std() > 0.1
    assert torch.equal(
        second, parts.sampled(positive, {**latent, "samples": latent["samples"][:1]}, seed=6)["samples"][0]
    )
    assert parts.decoded(latent).shape == (2, 1, 48000)


def test_sound_after_the_highest_seed_has_seed_zero(parts):
    positive, _, _ = parts.asked(text="rain")
    two, one = (parts.run("EmptySoundLatent", seconds=1.0, batch_size=size)[0] for size in (2, 1))
    both = parts.sampled(positive, two, seed=2**64 - 1)["samples"]
    assert torch.equal(both[1:], parts.sampled(positive, one, seed=0)["samples"])


def test_cancel_stops_after_the_step_in_progress(parts):
    positive, _, latent = parts.asked(text="rain", seconds=1.0)
    cancel, seen = threading.Event(), []

    def report(progress):
        seen.append(progress.value)
        cancel.set()

    with active(Session(on_progress=report, cancel=cancel)), pytest.raises(Cancelled):
        parts.sampled(positive, latent)
    assert seen == [1]


def test_decoded_sound_plays_in_the_node(parts):
    with active(Session()) as session:
        shown = parts.nodes["MovieGenSoundDecode"].execute(parts.asked(text="rain", seconds=1.01)[2], parts.vae)
        [file] = shown.ui.as_dict()["audio"]
        heard, rate = read_sound(session.temp_directory / file["subfolder"] / file["filename"])
    assert (heard.shape, rate) == ((1, 48480), 48000)


def test_sound_to_listen_to_holds_its_workflow(parts):
    node = parts.nodes["MovieGenSoundDecode"]
    told = {Hidden.prompt: {"1": {"class_type": node.__name__}}, Hidden.extra_pnginfo: {"workflow": {"nodes": []}}}
    assert set(told) <= set(node.GET_SCHEMA().hidden)
    with active(Session()) as session:
        run = node.PREPARE_CLASS_CLONE({"hidden_inputs": told})
        [file] = run.execute(parts.asked(text="rain", seconds=0.5)[2], parts.vae).ui.as_dict()["audio"]
        with av.open(str(session.temp_directory / file["subfolder"] / file["filename"])) as container:
            tags = {key.lower(): json.loads(value) for key, value in container.metadata.items() if value[0] == "{"}
    assert tags == {"prompt": told[Hidden.prompt], **told[Hidden.extra_pnginfo]}


def test_latents_of_other_nodes_are_decoded_whole(parts):
    assert parts.decoded({"samples": torch.zeros(1, 128, 7)}).shape == (1, 1, 7 * 1920)
    assert parts.decoded({"samples": torch.zeros(1, 128, 7), "num_samples": 5}).shape == (1, 1, 7 * 1920)


def test_ten_thousand_characters_are_read_as_far_as_the_encoder_goes(parts):
    positive, _, _ = parts.asked(text="rain on a roof " * 700)
    assert positive[0][0].isfinite().all()


def test_invalid_pictures_and_samples_do_not_spread(parts):
    images, audio = pictures(16), noise(0.5)
    images[3], audio["waveform"][..., 100:200] = float("nan"), float("inf")
    positive, _, latent = parts.asked(images=images, fps=16.0, context_audio=audio, vae=parts.vae)
    assert positive[0][1]["moviegen_frames"].isfinite().all()
    assert parts.decoded(parts.sampled(positive, latent)).isfinite().all()


def video(count=3, fps=16):
    return VideoFromComponents(VideoComponents(pictures(count), Fraction(fps)))


def gap(parts, start, end):
    return parts.run("FillSound", noise(1.0), parts.vae, None, start, end)


REFUSED = {
    "video without encoders": (
        ConfigError,
        "connect Load Frame Encoders",
        lambda parts: parts.run("VideoToSound", parts.clip, video=video()),
    ),
    "no frames": (MediaError, "at least 1", lambda parts: parts.asked(images=pictures(0), fps=16.0)),
    "fps 0": (MediaError, "above 0", lambda parts: parts.asked(images=pictures(3), fps=0.0)),
    "three hours": (MediaError, "cut the film", lambda parts: parts.asked(seconds=10800.0, text="rain")),
    "flat pictures": (
        ShapeError,
        r"\[frames, H, W, 3\]",
        lambda parts: parts.asked(images=torch.zeros(3, 8, 8), fps=8.0),
    ),
    "no likelihood": (ConfigError, "from 0 to 1", lambda parts: parts.asked(text="rain", music_likelihood=7.0)),
    "context longer than the clip": (
        ConfigError,
        "nothing is left to be made",
        lambda parts: parts.asked(text="rain", seconds=1.0, context_audio=noise(3.0), vae=parts.vae),
    ),
    "context without codec": (
        BackendError,
        "connect Load DAC-VAE",
        lambda parts: parts.asked(text="rain", context_audio=noise(1.0)),
    ),
    "silent film": (MediaError, "may be silent", lambda parts: parts.run("ExtendSound", None, parts.vae)),
    "empty sound": (MediaError, "0 samples", lambda parts: parts.run("FillSound", noise(0.0), parts.vae)),
    "gap outside": (
        ConfigError,
        "leave it out",
        lambda parts: parts.run("FillSound", noise(1.0), parts.vae, None, 2, 3),
    ),
    "gap backwards": (
        ConfigError,
        "after it begins",
        lambda parts: parts.run("FillSound", noise(1.0), parts.vae, None, 0.5, 0.1),
    ),
    "sound longer than its clip": (
        ConfigError,
        "cut it with Fit Audio",
        lambda parts: parts.run("ExtendSound", noise(3.0), parts.vae, parts.asked(seconds=1.0, text="rain")[2]),
    ),
    "no end": (
        MediaError,
        "cut the film",
        lambda parts: parts.run("ExtendSound", noise(1.0), parts.vae, None, 1800.0),
    ),
    "candidates without ears": (
        ConfigError,
        "connect frame_encoders and vae",
        lambda parts: parts.sampled(*parts.asked(text="rain", seconds=0.5)[::2], candidates=2),
    ),
    "candidates of all windows at once": (
        ConfigError,
        "choose extend",
        lambda parts: parts.sampled(
            *parts.asked(text="rain", seconds=0.5)[::2],
            parts.run("LongSound", parts.model, "multidiffusion")[0],
            candidates=2,
            frame_encoders=parts.eyes,
            vae=parts.vae,
        ),
    ),
    "beams at once": (
        ConfigError,
        "set beams to 1",
        lambda parts: parts.run("LongSound", parts.model, "multidiffusion", beams=2),
    ),
    "context beyond the window": (
        ConfigError,
        "shorter than the window",
        lambda parts: parts.run("LongSound", parts.model, "extend", 2.0, 3.0),
    ),
    "video latent": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.sampled(parts.asked(text="rain")[0], {"samples": torch.zeros(1, 16, 2, 4, 4)}),
    ),
    "video latent to extend": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.run("ExtendSound", noise(1.0), parts.vae, {"samples": torch.zeros(1, 16, 2, 4, 4)}),
    ),
    "latent of another codec to fill": (
        ShapeError,
        "Empty Sound Latent",
        lambda parts: parts.run("FillSound", noise(3.0), parts.vae, {"samples": torch.zeros(1, 64, 50)}),
    ),
    "mask of another length": (
        ShapeError,
        "connect Extend Sound or Fill Sound",
        lambda parts: parts.run(
            "FillSound", noise(2.0), parts.vae, {"samples": torch.zeros(1, 128, 50), "noise_mask": torch.ones(1, 1, 9)}
        ),
    ),
    "another length": (
        ShapeError,
        "for this video",
        lambda parts: parts.sampled(parts.asked(images=pictures(8), fps=8.0)[0], {"samples": torch.zeros(1, 128, 9)}),
    ),
    "nothing to make": (
        ConfigError,
        "nothing is left",
        lambda parts: parts.sampled(
            parts.asked(text="rain")[0], {"samples": torch.zeros(1, 128, 9), "noise_mask": torch.zeros(1, 1, 9)}
        ),
    ),
    "picture codec": (
        BackendError,
        "no Movie Gen sound codec",
        lambda parts: parts.run("SoundDecode", {"samples": torch.zeros(1, 128, 2)}, None),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_answered_in_one_line(case, parts):
    kind, words, work = REFUSED[case]
    with pytest.raises(kind, match=words) as caught:
        work(parts)
    assert isinstance(caught.value, MovieGenError)
    assert len(str(caught.value).splitlines()) == 1


def test_model_that_makes_no_sound_is_refused(parts, weights):
    video_model = parts.run("ModelLoader", weights["video"])[0]
    with pytest.raises(BackendError, match="Load Movie Gen Audio Model"):
        parts.sampled(parts.asked(text="rain")[0], {"samples": torch.zeros(1, 128, 9)}, video_model)
    with pytest.raises(BackendError, match="Load Movie Gen Audio Model"):
        parts.run("LongSound", video_model)


def test_no_encoder_at_all_is_refused(parts):
    with pytest.raises(ConfigError, match="choose at least one"):
        parts.run("FrameEncodersLoader", "none", "none")


def test_text_without_ul2_is_refused(parts, weights):
    clip = parts.run("TextEncoderLoader", "none", weights["metaclip"], "none")[0]
    with pytest.raises(ConfigError, match="Load Text Encoders"):
        parts.run("VideoToSound", clip, text="rain")
    positive = parts.run("TextEncode", clip, "a red ball", 16.0)[0]
    with pytest.raises(ShapeError, match="choose a ul2 encoder"):
        parts.sampled(positive, {"samples": torch.zeros(1, 128, 9)})


def test_tower_alone_serves_a_model_that_reads_no_motion(parts, sound_weights):
    eyes = parts.run("FrameEncodersLoader", sound_weights["metaclip_vision"], "none")[0]
    positive, _, latent = parts.run("VideoToSound", parts.clip, eyes, images=pictures(8), fps=8.0)
    assert positive[0][1]["moviegen_frames"].shape[1] == 1 + 16
    with pytest.raises(ShapeError, match="belong to the model"):
        parts.sampled(positive, latent)
    with pytest.raises(ConfigError, match="choose a motion encoder"):
        parts.sampled(positive, latent, candidates=2, frame_encoders=eyes, vae=parts.vae)
