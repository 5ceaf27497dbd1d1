"""Video to Sound, Long Sound, sampler and decoder on the standalone runtime, with tiny networks."""

from __future__ import annotations

import json
import threading

import av
import pytest
import torch

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.media.timeline import exact_fps
from moviegen_core.models.sound_match.model import SoundMatchConfig
from moviegen_core.pipelines.sound import long_sound, sample_sound
from moviegen_core.pipelines.sound_request import request_caption
from moviegen_core.pipelines.sound_scoring import MatchScorer
from moviegen_core.pipelines.watching import watch_video
from moviegen_host.errors import Cancelled
from moviegen_host.io import Hidden
from moviegen_host.session import Session, active
from moviegen_host.video import VideoComponents, VideoFromComponents, VideoFromFile

STEPS, FPS = 3, (12, 16, 23.976, 24, 25, 29.97, 30, 60)


@pytest.mark.parametrize("fps", FPS)
def test_sound_is_as_long_as_the_clip_to_the_sample(fps, parts):
    frames = round(0.7 * fps)
    wanted = round(frames / exact_fps(fps) * 48000)
    _, _, latent = parts.asked(images=parts.pictures(frames), fps=float(fps))
    video = VideoFromComponents(VideoComponents(parts.pictures(frames), exact_fps(fps)))
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
    write_movie(parts.pictures(40, 16).movedim(-1, 0) * 2 - 1, tmp_path / "clip.mp4", 29.97)
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


@pytest.mark.parametrize(
    ("asked", "said", "against"),
    [
        ({"text": "rain", "quality": 3.0}, {"prompt": "rain", "quality": 3.0}, {}),
        ({"text": "rain", "music": "calm"}, {"prompt": "rain", "music": "calm", "quality": 7.0}, {}),
        ({"music_likelihood": 0.4}, {"music_likelihood": 0.4, "quality": 7.0}, {}),
        (
            {"text": "rain", "negative_text": "wind"},
            {"prompt": "rain", "quality": 7.0},
            {"prompt": "wind", "quality": 7.0},
        ),
    ],
    ids=["quality", "music", "likelihood", "negative"],
)
def test_what_is_asked_of_a_sound_is_said_in_the_captions(nodes, part, asked, said, against):
    clip = nodes["MovieGenTextEncoderLoader"].execute("nano (shipped)", "none", "none").args[0]  # knows numbers
    made = nodes["MovieGenVideoToSound"].execute(clip, seconds=1.0, **asked).args[:2]
    for conditioning, caption in zip(made, (said, against), strict=True):
        wanted = part("runtime").host.encode_caption(clip, request_caption(**caption))
        assert torch.equal(conditioning[0][0], wanted[0][0])


def test_sampler_makes_what_the_core_makes(parts, part):
    positive, negative, latent = parts.asked(images=parts.pictures(20), fps=16.0, text="a red ball")
    made = parts.sampled(positive, latent, negative=negative)
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    wanted = sample_sound(parts.model.network, given, latent["samples"].shape[2], seed=5, steps=STEPS)
    assert (made["samples"] - wanted).abs().max() < 1e-5
    assert made["num_samples"] == latent["num_samples"]


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_long_form_is_the_cores(method, parts, part):
    positive, _, latent = parts.asked(images=parts.pictures(40), fps=16.0)
    model = parts.run("LongSound", parts.model, method, 1.0, 0.4)[0]
    made = parts.sampled(positive, latent, model)["samples"]
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    options = {"method": method, "window_seconds": 1.0, "context_seconds": 0.4}
    wanted = long_sound(parts.model.network, given, latent["samples"].shape[2], seed=5, steps=STEPS, **options)
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize(
    "options",
    [{"temperature": 1.0}, {"temperature": 0.5}, {"temperature": 1.0, "solver": "euler"}],
    ids=["noise as trained", "less noise", "euler"],
)
def test_sampler_node_takes_noise_and_solver_as_asked(parts, part, options):
    positive, _, latent = parts.asked(text="rain", seconds=1.0)
    given = {"seed": 5, "steps": STEPS, "cfg": 3.0, **options}
    made = parts.run("SoundSampler", parts.model, positive, latent, **given)[0]["samples"]
    conditions = part("sound_convert").conditioning(positive[0][0], None, None, 1, 32)
    length = latent["samples"].shape[2]
    wanted = long_sound(parts.model.network, conditions, length, seed=5, steps=STEPS, **options)
    assert (made - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_sampler_node_guides_pictures_apart_from_words(parts, part, method):
    positive, _, latent = parts.asked(images=parts.pictures(40), fps=16.0, text="rain")
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


def test_best_of_the_candidates_is_kept(parts, part):
    positive, _, latent = parts.asked(images=parts.pictures(20), fps=16.0, text="a red ball")
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    single = [parts.sampled(positive, latent, seed=5 + number)["samples"] for number in range(4)]
    scorer = MatchScorer(match=parts.eyes.motion, codec=parts.vae.network)
    scores = [float(scorer(one, given)[0]) for one in single]
    assert len(set(scores)) == 4
    ears = {"frame_encoders": parts.eyes, "vae": parts.vae}
    best = parts.sampled(positive, latent, candidates=4, **ears)["samples"]
    assert torch.equal(best, single[scores.index(max(scores))])
    assert parts.steps_of(lambda: parts.sampled(positive, latent, candidates=4, **ears)) == 4 * STEPS


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
    positive, _, latent = parts.run(
        "VideoToSound", parts.clip, eyes, images=parts.pictures(20), fps=16.0, text="a red ball"
    )
    given = part("sound_convert").conditioning(positive[0][0], positive[0][1]["moviegen_frames"], None, 1, 32)
    scorer = MatchScorer(match=eyes.motion, codec=parts.vae.network, text_weight=0.0)
    single = [parts.sampled(positive, latent, seed=5 + number)["samples"] for number in range(3)]
    scores = [float(scorer(one, given)[0]) for one in single]
    ears = {"candidates": 3, "frame_encoders": eyes, "vae": parts.vae}
    assert torch.equal(parts.sampled(positive, latent, **ears)["samples"], single[scores.index(max(scores))])
    with pytest.raises(ConfigError, match="ask for 1 candidate"):
        parts.sampled(parts.asked(text="rain")[0], latent, **ears)


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
    images, audio = parts.pictures(16), parts.noise(0.5)
    images[3], audio["waveform"][..., 100:200] = float("nan"), float("inf")
    positive, _, latent = parts.asked(images=images, fps=16.0, context_audio=audio, vae=parts.vae)
    assert positive[0][1]["moviegen_frames"].isfinite().all()
    assert parts.decoded(parts.sampled(positive, latent)).isfinite().all()


def test_tower_alone_serves_a_model_that_reads_no_motion(parts, sound_weights):
    eyes = parts.run("FrameEncodersLoader", sound_weights["metaclip_vision"], "none")[0]
    positive, _, latent = parts.run("VideoToSound", parts.clip, eyes, images=parts.pictures(8), fps=8.0)
    assert positive[0][1]["moviegen_frames"].shape[1] == 1 + 16
    with pytest.raises(ShapeError, match="belong to the model"):
        parts.sampled(positive, latent)
    with pytest.raises(ConfigError, match="choose a motion encoder"):
        parts.sampled(positive, latent, candidates=2, frame_encoders=eyes, vae=parts.vae)
