"""Video nodes on the standalone runtime."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.flow import times
from moviegen_core.models import loading
from moviegen_core.pipelines.sample import sample_video
from moviegen_core.shapes import clip_latent
from moviegen_core.weights import shipped


@pytest.fixture(scope="module")
def model(nodes, weights):
    return nodes["MovieGenModelLoader"].execute(weights["video"])[0]


@pytest.fixture(scope="module")
def vae(nodes, weights):
    return nodes["MovieGenTAELoader"].execute(weights["tae"])[0]


@pytest.fixture(scope="module")
def positive(nodes, weights):
    clip = nodes["MovieGenTextEncoderLoader"].execute(weights["ul2"], weights["metaclip"], weights["byt5"])[0]
    return nodes["MovieGenTextEncode"].execute(clip, 'a red ball "HI"', 16.0)[0]


@pytest.fixture(scope="module")
def latent(nodes):
    return nodes["MovieGenEmptyVideoLatent"].execute(32, 48, 20, 2)[0]


def sample(nodes, *arguments, **options):
    return nodes["MovieGenVideoSampler"].execute(*arguments, **options)[0]


@pytest.mark.parametrize(("node", "file"), [("MovieGenVideoSampler", "video"), ("MovieGenSoundSampler", "audio")])
def test_samplers_start_with_what_suits_the_shipped_models(registry, node, file):
    wanted = shipped()[f"nano/{file}"].sampling
    asked = {"cfg": "guidance_scale", "temperature": "temperature", "steps": "steps"}
    given = {one.id: one.default for one in registry.schema(node).inputs if wanted.get(asked.get(one.id)) is not None}
    assert {"cfg", "temperature"} <= set(given)
    assert given == {name: wanted[asked[name]] for name in given}


def test_clip_larger_than_what_the_model_learned_from_is_told_in_the_log(nodes, model, positive, caplog):
    learned = replace(model, sampling={"largest_side": 32})
    for side, told in ((32, False), (48, True)):
        latent = nodes["MovieGenEmptyVideoLatent"].execute(32, side, 1, 1)[0]
        caplog.clear()
        sample(nodes, learned, positive, latent, seed=0, steps=1, cfg=1.0)
        assert ("learned from up to 32 x 32" in caplog.text) == told


def test_empty_latent_rounds_the_length_up_and_remembers_it(latent):
    assert latent["samples"].shape == (2, 16, 3, 6, 4)
    assert latent["num_frames"] == 20


def test_empty_latent_says_what_one_latent_stands_for(latent):
    assert (latent["downscale_ratio_spacial"], latent["downscale_ratio_temporal"]) == (8, 8)


def test_size_that_gives_no_whole_tokens_is_refused(nodes):
    with pytest.raises(ShapeError, match="use 48"):
        nodes["MovieGenEmptyVideoLatent"].execute(50, 48, 8)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.6}, {"schedule": "linear"}, {"solver": "midpoint"}],
    ids=lambda one: next(iter(one), "usual"),
)
def test_sampler_node_gives_what_the_pipeline_gives(nodes, weights, model, positive, latent, part, options):
    options = {"temperature": 1.0, **options}
    sampled = sample(nodes, model, positive, latent, seed=3, steps=4, cfg=3.0, **options)
    network = loading.load(weights["video"]).float()
    conditioning = part("convert").unpack(positive[0][0], network.config.context_dims)
    expected = sample_video(
        network, conditioning, clip_latent(20, 48, 32, batch=2), seed=3, steps=4, guidance_scale=3, **options
    )
    assert torch.equal(sampled["samples"], expected)
    assert sampled["num_frames"] == 20


def test_sampler_starts_from_what_the_latent_holds_as_far_as_it_is_told(nodes, weights, model, positive, latent, part):
    held = {**latent, "samples": torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(5))}
    asked = {"seed": 3, "steps": 4, "cfg": 3.0, "temperature": 1.0}
    made = {share: sample(nodes, model, positive, held, denoise=share, **asked)["samples"] for share in (0.0, 0.5, 1.0)}
    assert made[0.0] is held["samples"]
    assert torch.equal(made[1.0], sample(nodes, model, positive, latent, **asked)["samples"])
    conditioning = part("convert").unpack(positive[0][0], loading.load(weights["video"]).config.context_dims)
    expected = sample_video(
        loading.load(weights["video"]).float(), conditioning, clip_latent(20, 48, 32, batch=2), seed=3, steps=8,
        guidance_scale=3, source=held["samples"], source_time=float(times.linear_quadratic(8, 1000)[4]),
    )  # fmt: skip
    assert torch.equal(made[0.5], expected)
    with pytest.raises(ConfigError, match=r"goes up to 1000; use denoise 0\.004 or more"):
        sample(nodes, model, positive, held, denoise=0.001, **asked)


def test_what_else_a_latent_holds_travels_on_but_not_what_is_true_of_empty_ones(nodes, model, positive, latent):
    mask = torch.ones(2, 1, 3, 6, 4)
    given = {**latent, "noise_mask": mask}
    sampled = sample(nodes, model, positive, given, seed=3, steps=1, cfg=1.0)
    assert set(sampled) == {"samples", "num_frames", "noise_mask"}
    assert sampled["noise_mask"] is mask


def test_unconnected_negative_is_the_zeroed_one(nodes, model, positive, latent):
    zeroed = [[torch.zeros_like(positive[0][0]), {}]]
    first = sample(nodes, model, positive, latent, seed=1, steps=2, cfg=3.0)
    second = sample(nodes, model, positive, latent, seed=1, steps=2, cfg=3.0, negative=zeroed)
    assert torch.allclose(first["samples"], second["samples"], atol=1e-5)


def test_sampling_reports_every_step_with_a_preview(nodes, model, positive, latent):
    from moviegen_host import session

    reports = []
    with session.active(session.Session(on_progress=reports.append)):
        sample(nodes, model, positive, latent, seed=1, steps=3, cfg=1.0)
    assert [(report.value, report.maximum) for report in reports] == [(1, 3), (2, 3), (3, 3)]
    assert all(report.preview.size == (3 * 4 * 8, 6 * 8) for report in reports)


def test_cancel_lands_within_one_step(nodes, model, positive, latent):
    from moviegen_host import errors, session

    running = session.Session()
    reports = []

    def stop(report):
        reports.append(report)
        running.cancel.set()

    running.on_progress = stop
    with session.active(running), pytest.raises(errors.Cancelled):
        sample(nodes, model, positive, latent, seed=1, steps=9, cfg=1.0)
    assert len(reports) == 1


def test_latent_of_a_picture_model_is_refused(nodes, model, positive):
    with pytest.raises(ShapeError, match="Empty Video Latent"):
        sample(nodes, model, positive, {"samples": torch.zeros(1, 4, 8, 8)}, seed=1, steps=2, cfg=1.0)


def test_decode_gives_the_asked_length_and_clips_of_a_batch_in_turn(nodes, vae):
    samples = torch.randn(2, 16, 3, 4, 6)
    both = nodes["MovieGenTAEDecode"].execute({"samples": samples, "num_frames": 20}, vae)[0]
    second = nodes["MovieGenTAEDecode"].execute({"samples": samples[1:], "num_frames": 20}, vae)[0]
    assert both.shape == (40, 32, 48, 3)
    assert both.min() >= 0.0
    assert both.max() <= 1.0
    assert torch.allclose(both[20:], second, atol=1e-4)


def test_decode_ignores_a_length_that_no_longer_fits(nodes, vae):
    frames = nodes["MovieGenTAEDecode"].execute({"samples": torch.randn(1, 16, 2, 2, 2), "num_frames": 20}, vae)[0]
    assert frames.shape == (16, 16, 16, 3)


def test_overlap_as_long_as_the_window_is_refused(nodes, vae):
    with pytest.raises(ConfigError, match="use at most 24"):
        nodes["MovieGenTAEDecode"].execute({"samples": torch.randn(1, 16, 2, 2, 2)}, vae, 32, 32)


def test_encode_rounds_the_length_up_and_decode_restores_it(nodes, vae):
    latent = nodes["MovieGenTAEEncode"].execute(torch.rand(11, 32, 48, 3), vae)[0]
    assert latent["samples"].shape == (1, 16, 2, 4, 6)
    assert nodes["MovieGenTAEDecode"].execute(latent, vae)[0].shape == (11, 32, 48, 3)


class Moved(TorchDispatchMode):
    """Frames of each clip [B, 3, T, H, W] that is copied to another place or precision."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default and result.ndim == 5 and result.shape[1] == 3:
            self.frames.append(result.shape[2])
        return result


def test_encode_moves_one_window_at_a_time(nodes, weights):
    small = nodes["MovieGenTAELoader"].execute(weights["tae"], "bf16")[0]
    with Moved() as moved:
        latent = nodes["MovieGenTAEEncode"].execute(torch.rand(40, 16, 16, 3), small, 16)[0]
    assert latent["samples"].shape == (1, 16, 5, 2, 2)
    assert moved.frames == [16, 16, 8]


def test_encode_reports_its_windows_and_stops_between_them(nodes, vae):
    from moviegen_host import errors, session

    running, reports = session.Session(), []

    def note(report):
        reports.append((report.value, report.maximum))
        if len(reports) == 6:
            running.cancel.set()

    running.on_progress = note
    images = torch.rand(40, 16, 16, 3)
    with session.active(running):
        nodes["MovieGenTAEEncode"].execute(images, vae, 16)
        assert reports == [(0, 40), (16, 40), (32, 40), (40, 40)]
        with pytest.raises(errors.Cancelled):
            nodes["MovieGenTAEEncode"].execute(images, vae, 16)
    assert reports[4:] == [(0, 40), (16, 40)]


def test_sigmas_are_the_schedule_turned_over(nodes):
    sigmas = nodes["MovieGenLinearQuadraticSigmas"].execute(50, 1000)[0]
    assert torch.equal(sigmas, 1.0 - times.linear_quadratic(50, 1000))


def test_denoise_keeps_the_end_of_a_longer_schedule(nodes):
    sigmas = nodes["MovieGenLinearQuadraticSigmas"].execute(10, 1000, "quadratic", 0.5)[0]
    assert torch.equal(sigmas, (1.0 - times.linear_quadratic(20, 1000, "quadratic"))[-11:])
    assert len(nodes["MovieGenLinearQuadraticSigmas"].execute(10, 1000, "quadratic", 0.0)[0]) == 0


def test_schedule_shorter_than_its_steps_is_refused(nodes):
    with pytest.raises(ConfigError, match="use 20 or more"):
        nodes["MovieGenLinearQuadraticSigmas"].execute(20, 15, "quadratic")


def test_part_of_a_schedule_imitates_one_as_long_as_the_whole(nodes):
    sigmas = nodes["MovieGenLinearQuadraticSigmas"].execute(10, 15, "quadratic", 0.5)[0]
    assert torch.equal(sigmas, (1.0 - times.linear_quadratic(20, 20, "quadratic"))[-11:])


def test_schedule_longer_than_can_be_imitated_is_refused(nodes):
    node = nodes["MovieGenLinearQuadraticSigmas"]
    with pytest.raises(ConfigError, match=r"goes up to 10000; use denoise 0\.005 or more"):
        node.execute(50, 10000, "quadratic", 0.001)
    assert len(node.execute(50, 10000, "quadratic", 0.005)[0]) == 51
