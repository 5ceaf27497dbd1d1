import itertools

import pytest
import torch

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import BackendError, ConfigError, ShapeError
from moviegen_core.flow import times
from moviegen_core.flow.guidance import classifier_free
from moviegen_core.models.video_dit.model import VideoDiT, VideoDiTConfig
from moviegen_core.pipelines.sample import make_noise, sample_video
from moviegen_core.shapes import LatentShape

CONFIG = VideoDiTConfig(
    dim=32, num_heads=4, num_layers=2, mlp_dim=48, context_dims={"ul2": 6}, max_grid=(4, 4, 4), qk_norm=True
)
SHAPE = LatentShape(2, 16, 2, 4, 4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = VideoDiT(CONFIG).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    return network


@pytest.fixture(scope="module")
def text():
    features = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1))
    return Conditioning({"ul2": features}, {"ul2": torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()})


def test_sampling_equals_a_plain_euler_loop(model, text):
    points = times.linear_quadratic(4)
    sample = make_noise(SHAPE, 5)
    with torch.no_grad():
        for start, end in itertools.pairwise(points):
            time = start.expand(2)
            velocities = [model(sample, time, condition) for condition in (text, Conditioning.empty(2))]
            sample = sample + (end - start) * classifier_free(*velocities, 3.0)
    actual = sample_video(model, text, SHAPE, seed=5, steps=4, guidance_scale=3.0)
    torch.testing.assert_close(actual, sample, rtol=1e-4, atol=1e-4)
    assert not actual.requires_grad


def test_same_seed_gives_the_same_clip_and_another_seed_another(model, text):
    draw = lambda seed: sample_video(model, text, SHAPE, seed=seed, steps=2)
    assert torch.equal(draw(1), draw(1))
    assert not torch.allclose(draw(1), draw(2))


def test_temperature_scales_the_noise(model, text):
    draw = lambda seed, temperature: sample_video(model, text, SHAPE, seed=seed, steps=1, temperature=temperature)
    assert torch.equal(draw(1, 0.0), draw(2, 0.0))
    with torch.no_grad():
        begun, time = 0.5 * make_noise(SHAPE, 1), torch.zeros(2)
        velocities = [model(begun, time, condition) for condition in (text, Conditioning.empty(2))]
        wanted = begun + classifier_free(*velocities, 7.5)
    torch.testing.assert_close(draw(1, 0.5), wanted, rtol=1e-4, atol=1e-4)


def test_guidance_scale_1_asks_the_network_once_per_step(model, text):
    asked = []
    handle = model.patch_in.register_forward_hook(lambda *given: asked.append(1))
    sample_video(model, text, SHAPE, steps=3, guidance_scale=1.0)
    single = len(asked)
    sample_video(model, text, SHAPE, steps=3, guidance_scale=2.0)
    handle.remove()
    assert (single, len(asked) - single) == (3, 6)


def test_one_prompt_serves_a_batch_and_a_negative_one_steers_away(model, text):
    one = Conditioning({"ul2": text.context["ul2"][:1]}, {"ul2": text.context_mask["ul2"][:1]})
    both = Conditioning({"ul2": one.context["ul2"].expand(2, -1, -1)}, {"ul2": one.context_mask["ul2"].expand(2, -1)})
    wide = sample_video(model, both, SHAPE, steps=2)
    torch.testing.assert_close(sample_video(model, one, SHAPE, steps=2), wide)
    assert not torch.allclose(sample_video(model, one, SHAPE, negative=text, steps=2), wide)


def test_negative_equal_to_the_prompt_is_no_guidance(model, text):
    plain = sample_video(model, text, SHAPE, steps=2, guidance_scale=1.0)
    torch.testing.assert_close(sample_video(model, text, SHAPE, negative=text, steps=2), plain)


def test_raising_from_on_step_cancels_and_leaves_nothing_on_the_network(model, text):
    before = {key: value for key, value in vars(model).items() if not key.startswith("_")}

    def cancel(step, steps, estimate):
        assert (steps, estimate.shape) == (5, SHAPE.as_tuple())
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        sample_video(model, text, SHAPE, steps=5, on_step=cancel)
    assert {key: value for key, value in vars(model).items() if not key.startswith("_")} == before


def test_last_estimate_is_the_clip(model, text):
    seen = []
    clip = sample_video(model, text, SHAPE, steps=3, on_step=lambda step, steps, estimate: seen.append(estimate))
    torch.testing.assert_close(seen[-1], clip)


@pytest.mark.parametrize("options", [{"schedule": "linear"}, {"solver": "midpoint"}, {"kind": "quadratic"}])
def test_schedules_and_solvers_lead_to_clips_of_their_own(model, text, options):
    assert not torch.equal(
        sample_video(model, text, SHAPE, steps=4, **options), sample_video(model, text, SHAPE, steps=4)
    )


def test_bfloat16_network_gives_an_fp32_clip_near_the_fp32_one(model, text):
    half = VideoDiT(CONFIG, dtype=torch.bfloat16)
    half.load_state_dict(model.state_dict())
    clip = sample_video(half, text, SHAPE, steps=2, guidance_scale=1.0)
    assert clip.dtype == torch.float32
    torch.testing.assert_close(clip, sample_video(model, text, SHAPE, steps=2, guidance_scale=1.0), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (LatentShape(1, 16, 5, 4, 4), "shorten the clip"),
        (LatentShape(1, 16, 1, 10, 4), "shorten the clip"),
        (LatentShape(1, 16, 1, 3, 4), "multiples of 16"),
        (LatentShape(1, 16, 0, 4, 4), "multiples of 16"),
        (LatentShape(1, 8, 1, 4, 4), "makes 16"),
    ],
)
def test_impossible_clip_is_refused_before_any_work(model, text, shape, match):
    with pytest.raises(ShapeError, match=match):
        sample_video(model, text, shape, steps=2)


def test_impossible_settings_are_refused(model, text):
    for scale in (-1.0, 1e30, float("nan")):
        with pytest.raises(ConfigError, match=r"must lie from 0 to 100; 1 is none, the paper uses 7\.5"):
            sample_video(model, text, SHAPE, guidance_scale=scale)
    with pytest.raises(ConfigError, match="at least 1"):
        sample_video(model, text, SHAPE, steps=0)
    with pytest.raises(BackendError, match="use auto"):
        sample_video(model, text, SHAPE, steps=2, attend="warp")


def test_source_is_kept_the_more_the_later_its_path_is_joined(model, text):
    latent = torch.randn(SHAPE.as_tuple(), generator=torch.Generator().manual_seed(9))
    made = [sample_video(model, text, SHAPE, steps=40, source=latent, source_time=time) for time in (0.2, 0.6, 0.95)]
    distances = [(one - latent).square().mean().item() for one in made]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.1 * distances[0]


def test_source_at_time_zero_is_forgotten(model, text):
    latent = torch.randn(SHAPE.as_tuple(), generator=torch.Generator().manual_seed(9))
    made = sample_video(model, text, SHAPE, seed=3, steps=4, source=latent, source_time=0.0)
    torch.testing.assert_close(made, sample_video(model, text, SHAPE, seed=3, steps=4), rtol=1e-4, atol=1e-4)


def test_source_of_another_shape_or_a_time_of_the_data_is_refused(model, text):
    with pytest.raises(ShapeError, match="the source is"):
        sample_video(model, text, SHAPE, steps=2, source=torch.zeros(1, 16, 2, 4, 4), source_time=0.5)
    with pytest.raises(ConfigError, match="towards 1 the source stays"):
        sample_video(model, text, SHAPE, steps=2, source=torch.zeros(SHAPE.as_tuple()), source_time=1.0)
    with pytest.raises(ConfigError, match="towards 1 the source stays"):
        sample_video(model, text, SHAPE, steps=2, source=torch.zeros(SHAPE.as_tuple()), source_time=1 - 1e-9)
