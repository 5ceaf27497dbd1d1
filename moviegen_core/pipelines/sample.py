"""Sampling: noise -> latent clip, by a video transformer, its conditioning and a solver."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..flow import guidance, path, times
from ..flow.solver import OnStep, Solver, integrate
from ..models.video_dit.model import Context, VideoDiT, check_grid
from ..ops.attention import Attend
from ..ops.attention import resolve as resolve_attention
from ..shapes import SPATIAL_STRIDE, LatentShape, check_number, check_whole

logger = logging.getLogger(__name__)

STEPS = 50  # paper 3.4.2
GUIDANCE_SCALE = 7.5  # paper 3.4.2
MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_TEMPERATURE = 2.0
EMULATED_STEPS = 1000  # paper 3.4.2, figure 10; its text also names 250


def make_noise(shape: LatentShape, seed: int) -> Tensor:
    """Standard normal [B, C, T, H, W], fp32 on the CPU, so that a seed means the same clip on any device."""
    generator = torch.Generator("cpu").manual_seed(int(seed))
    return torch.randn(shape.as_tuple(), generator=generator, dtype=torch.float32)


@torch.no_grad()
def sample_video(
    model: VideoDiT, conditioning: Any, shape: LatentShape, *, seed: int = 0, negative: Any = None,
    steps: int = STEPS, guidance_scale: float = GUIDANCE_SCALE, schedule: str = "linear_quadratic",
    emulated_steps: int = EMULATED_STEPS, kind: times.Kind = "slope_continuous", solver: Solver = "euler",
    source: Tensor | None = None, source_time: float = 0.0, temperature: float = 1.0, on_step: OnStep | None = None,
    attend: str | Attend | None = None,
) -> Tensor:  # fmt: skip
    """Latent clip [B, C, T, H, W], unit variance, fp32 on the model's device.

    `conditioning` and `negative` have `.context` and `.context_mask` (see conditioning.types) for one sample or B;
    without `negative` guidance starts from the null condition. `guidance_scale` 1 asks the network once per step.
    With a latent `source` [B, C, T, H, W] the clip is made of it: noised to `source_time` (0: nothing of it stays) and
    sampled from there, by the points of the schedule that lie beyond.
    `temperature` scales the noise (as in Glow, arXiv 1807.03039): 1 as trained, less for calmer, plainer clips, which
    become small or hardly trained networks.
    `on_step(step, steps, estimate)` follows every step, counted from 1; raising from it cancels.

    ShapeError for a clip that the model cannot hold or a source of another shape, ConfigError for settings out of range
    or a model that gives numbers that are not finite.
    """
    check_shape(model, shape)
    check_guidance(guidance_scale)
    check_temperature(temperature)
    points = times.schedule(schedule, steps, emulated_steps, kind)
    if not 0.0 <= source_time < 1.0 or float(points.new_tensor(source_time)) == 1.0:
        raise ConfigError(f"source_time {source_time} must lie in [0, 1): 0 is all noise, towards 1 the source stays")
    if source is not None and tuple(source.shape) != shape.as_tuple():
        raise ShapeError(f"the source is {list(source.shape)}, the clip to make {list(shape.as_tuple())}; fit one")
    attend = resolve_attention(attend or model.attend, model.device, model.dtype)
    positive = model.prepare(conditioning.context, conditioning.context_mask, shape.batch)
    baseline = None
    if guidance_scale != 1.0:
        context, mask = ({}, {}) if negative is None else (negative.context, negative.context_mask)
        baseline = model.prepare(context, mask, shape.batch)

    def velocity(sample: Tensor, time: Tensor) -> Tensor:
        latent = sample.to(model.dtype)
        # One sample stands for all: within a step they share the time.
        modulation = model.modulate(time[:1])

        def ask(context: Context) -> Tensor:
            return model(latent, modulation, context, attend).float()

        # Two passes hold half the activations of a doubled batch, and the null condition skips most of its
        # cross-attention.
        conditional = ask(positive)
        if baseline is None:
            return conditional
        return guidance.classifier_free(conditional, ask(baseline), guidance_scale)

    begun = temperature * make_noise(shape, seed).to(model.device)
    if source is not None:
        begun = path.interpolate(source.to(begun), begun, torch.full((shape.batch,), source_time, device=begun.device))
        begin = points.new_tensor([source_time])
        points = torch.cat([begin, points[points > begin]])
    return integrate(velocity, begun, points, solver, on_step)


def check_seed(seed: int) -> None:
    """ConfigError for a seed that no generator takes."""
    check_whole(seed=seed)
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed {seed} is outside of 0 to 2^64 - 1; use a number in that range")


def check_steps(steps: int, usual: int = STEPS) -> None:
    """ConfigError for a number of steps that nobody would wait for, or none."""
    check_whole(steps=steps)
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps {steps} is outside of 1 to {MAX_STEPS}; the paper uses {usual}")


def check_guidance(scale: float, usual: float = GUIDANCE_SCALE, name: str = "guidance_scale") -> None:
    """ConfigError for a scale that leads nowhere."""
    check_number(**{name: scale})
    if not 0.0 <= scale <= MAX_GUIDANCE:
        raise ConfigError(f"{name} {scale:g} must lie from 0 to {MAX_GUIDANCE:g}; 1 is none, the paper uses {usual:g}")


def check_temperature(temperature: float) -> None:
    """ConfigError for a temperature that no noise can have."""
    check_number(temperature=temperature)
    if not 0.0 <= temperature <= MAX_TEMPERATURE:
        raise ConfigError(
            f"temperature {temperature} must lie from 0 to {MAX_TEMPERATURE:g}; 1 is the noise as trained"
        )


def tell_size(recommended: Mapping[str, Any], shape: LatentShape) -> None:
    """Say in the log that a clip is larger than any that the model learned from, where its file tells."""
    largest = recommended.get("largest_side")
    sides = SPATIAL_STRIDE * shape.columns, SPATIAL_STRIDE * shape.rows
    if largest and max(sides) > largest:
        logger.warning(
            "%d x %d pixels were asked for; this model learned from up to %d x %d: what lies beyond may repeat itself",
            *sides, largest, largest,
        )  # fmt: skip


def check_shape(model: VideoDiT, shape: LatentShape) -> None:
    """ShapeError where the network cannot make a clip of this shape; said before any work is done."""
    config = model.config
    if shape.channels != config.out_channels:
        raise ShapeError(f"{shape.channels} latent channels were asked for; this network makes {config.out_channels}")
    size = (shape.frames, shape.rows, shape.columns)
    if any(length < 1 or length % step for length, step in zip(size, config.patch_size, strict=True)):
        raise ShapeError(
            f"latent frames, rows, columns {size} must be multiples of {config.patch_size}; "
            "use pixel sizes that are multiples of 16"
        )
    frames, rows, columns = (length // step for length, step in zip(size, config.patch_size, strict=True))
    check_grid((frames, rows, columns), config)
