"""Sounds: noise -> latents, by a sound transformer, its conditions and a solver (paper 6.1 and 6.3).

Generating, extending forwards or backwards and filling gaps are one function: what is already known stands in the
conditioning's context. Long sounds are made segment by segment, or all at once from overlapping windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..conditioning.sound import LATENT_RATE, SoundConditioning
from ..errors import ConfigError, ShapeError
from ..flow import guidance, path, times
from ..flow.solver import OnStep, Solver, Velocity, integrate
from ..models.audio_dit.model import AudioDiT, Prepared
from ..ops.attention import Attend
from ..ops.attention import resolve as resolve_attention
from ..ops.windows import windows
from ..shapes import MAX_SECONDS
from .sample import check_guidance, check_temperature
from .sound_scoring import Scorer, check_scorer

STEPS = 64  # paper 6.3; taken as even steps that ask the network twice each (assumption)
GUIDANCE_SCALE = 3.0  # paper 6.3
CONTEXT_SECONDS = 5.0  # example of the paper's figure 27
WINDOW_SECONDS = 20.0  # as there; the nano model recommends its own
METHODS = ("extend", "multidiffusion")
CROSSED = 10  # sound frames over which a window takes over from the one before (assumption)


def make_noise(batch: int, channels: int, num_latents: int, seed: int) -> Tensor:
    """Standard normal [B, C, L], fp32 on the CPU, so that a seed means the same sound on any device.

    Drawn frame by frame: a shorter sound of the same seed starts from the same noise (where batch times channels is a
    multiple of 16, below which torch draws otherwise). Seed 2**64 is seed 0 again.
    """
    generator = torch.Generator("cpu").manual_seed(int(seed) % 2**64)
    return torch.randn((num_latents, batch, channels), generator=generator, dtype=torch.float32).permute(1, 2, 0)


@torch.no_grad()
def sample_sound(
    model: AudioDiT, conditioning: SoundConditioning, num_latents: int, *, seed: int = 0, batch: int | None = None,
    negative: SoundConditioning | None = None, steps: int = STEPS, guidance_scale: float = GUIDANCE_SCALE,
    picture_guidance: float = 0.0, solver: Solver = "midpoint", temperature: float = 1.0, candidates: int = 1,
    scorer: Scorer | None = None, on_step: OnStep | None = None, attend: str | Attend | None = None,
) -> Tensor:  # fmt: skip
    """Latents [B, C, L] of a sound, unit variance, fp32 on the model's device.

    Known sound frames (the conditioning's context) come back as they were given. Without `negative` guidance starts
    from the null condition, in which nothing is said, shown or known; `guidance_scale` 1 asks the network once a
    time. With `picture_guidance` above 0 it is the words' alone, and what the pictures add to them counts so often: if
    more, hits keep closer to the picture, at the price of one more pass a time. `temperature` scales the noise: 1 as
    trained, less for plainer sounds. Of `candidates` sounds (seeds seed, seed + 1, ...) the `scorer` keeps the best for
    each sample.
    `on_step(step, steps, estimate)` counts the steps of all candidates; raising from it cancels.

    ShapeError for conditions of another length or batch, ConfigError for settings out of range, candidates without a
    scorer, or a model that gives numbers that are not finite.
    """
    check_scorer(candidates, scorer)
    sampler = _Sampler(
        model, steps, guidance_scale, picture_guidance, solver, temperature, attend, on_step, runs=candidates
    )
    conditioning = conditioning.repeat(batch or conditioning.batch)
    _check_length(conditioning, num_latents)
    asked = sampler.prepare(conditioning, negative)
    channels = model.config.latent_channels
    best = scores = None
    for candidate in range(candidates):
        noise = make_noise(conditioning.batch, channels, num_latents, seed + candidate)
        latent = sampler.run(_of(sampler, asked), noise, conditioning)
        if scorer is None:
            return latent
        found = scorer(latent, conditioning)
        if best is None or scores is None:
            best, scores = latent, found
        else:
            better = found > scores
            best = torch.where(better.to(latent.device)[:, None, None], latent, best)
            scores = torch.where(better, found, scores)
    assert best is not None
    return best


@torch.no_grad()
def long_sound(
    model: AudioDiT, conditioning: SoundConditioning, num_latents: int, *, method: str = "extend",
    window_seconds: float = WINDOW_SECONDS, context_seconds: float = CONTEXT_SECONDS, beams: int = 1, seed: int = 0,
    negative: SoundConditioning | None = None, steps: int = STEPS, guidance_scale: float = GUIDANCE_SCALE,
    picture_guidance: float = 0.0, solver: Solver = "midpoint", temperature: float = 1.0, candidates: int = 1,
    scorer: Scorer | None = None, on_step: OnStep | None = None, attend: str | Attend | None = None,
) -> Tensor:  # fmt: skip
    """Latents [1, C, L] of a sound of any length; beside them memory holds one window's activations.

    "extend": windows of `window_seconds` one after the other, each of which sees the last `context_seconds` of the
    sound so far, and crosses over from it in the last 0.4 s of these. With `candidates` each window is the best of so
    many; with `beams` the so many best beginnings go on side by side, judged by the sum of their windows' scores.
    "multidiffusion": the velocities of windows that share `context_seconds` with their neighbours are averaged with
    triangular weights (paper 6.3) at every step.
    A sound that fits into one window is sampled at once, windows of known sound alone not at all. Other arguments as
    for `sample_sound`, errors too; ConfigError for windows that do not fit. ShapeError for more than one sound.
    """
    check_method(method, max(candidates, beams))
    if conditioning.batch != 1:
        raise ShapeError(f"a long sound is made by itself; this conditioning holds {conditioning.batch}, give 1")
    _check_length(conditioning, num_latents)
    slices = sound_windows(num_latents, window_seconds, context_seconds)
    if method == "extend":
        check_scorer(max(candidates, beams), scorer)
        branches = max(candidates, beams)
        mask = conditioning.context_mask
        wanted = slices if mask is None else to_make(slices, mask[0])
        runs = window_runs(wanted, branches, beams)
        sampler = _Sampler(
            model, steps, guidance_scale, picture_guidance, solver, temperature, attend, on_step, runs=runs
        )
        return _extend(sampler, conditioning, negative, slices, wanted, branches, beams, seed, scorer)
    sampler = _Sampler(model, steps, guidance_scale, picture_guidance, solver, temperature, attend, on_step)
    noise = make_noise(1, model.config.latent_channels, num_latents, seed)
    return sampler.run(_blended(sampler, sampler.prepare(conditioning, negative), slices), noise, conditioning)


@dataclass(frozen=True)
class _Asked:
    """Prepared conditions: what is wanted, what guidance leads away from, and what is wanted but for the pictures.

    None where guidance does not need it.
    """

    positive: Prepared
    baseline: Prepared | None
    words: Prepared | None = None

    def window(self, own: slice) -> _Asked:
        parts = (self.positive, self.baseline, self.words)
        positive, *others = (None if part is None else part.window(own.start, own.stop) for part in parts)
        assert positive is not None
        return _Asked(positive, *others)


class _Sampler:
    """How every run of one call is solved, and how far all of them are."""

    def __init__(
        self, model: AudioDiT, steps: int, guidance_scale: float, picture_guidance: float, solver: Solver,
        temperature: float, attend: str | Attend | None, on_step: OnStep | None, runs: int = 1,
    ) -> None:  # fmt: skip
        check_guidance(guidance_scale, GUIDANCE_SCALE)
        check_guidance(picture_guidance, GUIDANCE_SCALE, "picture_guidance")
        check_temperature(temperature)
        self.model, self.guidance_scale, self.solver, self.on_step = model, guidance_scale, solver, on_step
        self.picture_guidance, self.temperature = picture_guidance, temperature
        self.points, self.steps, self.finished = times.linear(steps), steps * runs, 0
        self.attend = resolve_attention(attend or model.attend, model.device, model.dtype)

    def prepare(self, conditioning: SoundConditioning, negative: SoundConditioning | None) -> _Asked:
        """Text and frames are read once for all steps."""
        positive, baseline, words = self.model.prepare_from(conditioning), None, None
        if self.picture_guidance and conditioning.frames is not None:
            words = self.model.prepare_from(replace(conditioning, frames=None, frames_mask=None))
        if self.guidance_scale != 1.0:
            against = SoundConditioning.empty(conditioning.batch) if negative is None else negative
            baseline = self.model.prepare_from(against)
        return _Asked(positive, baseline, words)

    def velocity(self, asked: _Asked, sample: Tensor, time: Tensor) -> Tensor:
        """Guided velocity of sample [B, C, L] at time [B]."""
        latent = sample.to(self.model.dtype)
        # One sample stands for all: within a step they share the time.
        modulation = self.model.modulate(time[:1])

        def ask(prepared: Prepared) -> Tensor:
            return self.model(latent, modulation, prepared, self.attend).float()

        whole = ask(asked.positive)
        words = whole if asked.words is None else ask(asked.words)
        unconditional = words if asked.baseline is None else ask(asked.baseline)
        if asked.words is None:
            return guidance.classifier_free(whole, unconditional, self.guidance_scale)
        return guidance.with_two_scales(whole, words, unconditional, self.guidance_scale, self.picture_guidance)

    def run(self, velocity: Velocity, noise: Tensor, conditioning: SoundConditioning) -> Tensor:
        """Follow `velocity` from noise [B, C, L] to latents; known sound frames go straight to what they are."""
        noise = self.temperature * noise.to(self.model.device)
        known = mask = None
        if conditioning.context is not None and conditioning.context_mask is not None:
            mask = conditioning.context_mask.to(noise.device)[:, None]
            known = conditioning.context.to(noise).masked_fill(~mask, 0.0)
        latent = integrate(_held(velocity, noise, known, mask), noise, self.points, self.solver, self._report)
        return latent if known is None or mask is None else torch.where(mask, known, latent)

    def _report(self, _step: int, _steps: int, estimate: Tensor) -> None:
        self.finished += 1
        if self.on_step is not None:
            self.on_step(self.finished, self.steps, estimate)


def _held(velocity: Velocity, noise: Tensor, known: Tensor | None, mask: Tensor | None) -> Velocity:
    """`velocity`, but known frames follow the path from their noise to what they are."""
    if known is None or mask is None:
        return velocity
    straight = path.velocity(known, noise)
    return lambda sample, time: torch.where(mask, straight, velocity(sample, time))


@dataclass(frozen=True)
class _Beginning:
    """The start of a long sound [1, C, l] and the sum of its windows' scores."""

    latent: Tensor
    score: float


def _extend(
    sampler: _Sampler, conditioning: SoundConditioning, negative: SoundConditioning | None, slices: list[slice],
    wanted: list[slice], branches: int, beams: int, seed: int, scorer: Scorer | None,
) -> Tensor:  # fmt: skip
    """Window by window; of all beginnings times branches the `beams` best go on."""
    channels = sampler.model.config.latent_channels

    def window(own: slice, begun: Tensor) -> Callable[[int], tuple[Tensor, float]]:
        part = _continued(conditioning.window(own.start, own.stop), begun, own)
        asked = sampler.prepare(part, None if negative is None else negative.window(own.start, own.stop))

        def make(seed: int) -> tuple[Tensor, float]:
            noise = make_noise(1, channels, own.stop - own.start, seed)
            latent = sampler.run(_of(sampler, asked), noise, part)
            return latent, 0.0 if scorer is None else float(scorer(latent, part)[0])

        return make

    def known(own: slice) -> Tensor | None:
        return None if conditioning.context is None or own in wanted else conditioning.context[:, :, own]

    nothing = torch.zeros(1, channels, 0, device=sampler.model.device)
    return grow(window, slices, nothing, branches, beams, seed, known)


def grow(
    window: Callable[[slice, Tensor], Callable[[int], tuple[Tensor, float]]], slices: list[slice], nothing: Tensor,
    branches: int, beams: int, seed: int, known: Callable[[slice], Tensor | None] = lambda own: None,
) -> Tensor:  # fmt: skip
    """A long sound [1, C, L], window by window from `nothing` [1, C, 0]; of all beginnings the `beams` best go on.

    `window(own, begun)` prepares the window that covers `own`, of which the first frames `begun` [1, C, k] exist
    already; the function it gives makes the window's latent [1, C, l] and score from a seed, `branches` times. The last
    frames that exist are made again, and `crossed`. Of windows that need not be made `known(own)` gives the latent.
    """
    kept = [_Beginning(nothing, 0.0)]
    for own in slices:
        given = known(own)
        if given is not None:
            kept = [
                _Beginning(torch.cat([one.latent[:, :, : own.start], given.to(one.latent)], dim=2), one.score)
                for one in kept
            ]
            continue
        grown = []
        for begun in kept:
            shared = begun.latent[:, :, own.start :]
            make = window(own, shared[:, :, : standing(shared.shape[2])])
            for _ in range(branches):
                latent, score = make(seed)
                seed += 1
                whole = torch.cat([begun.latent[:, :, : own.start], crossed(shared, latent)], dim=2)
                grown.append(_Beginning(whole, begun.score + score))
        kept = sorted(grown, key=lambda begun: -begun.score)[:beams]
    return kept[0].latent


def standing(begun: int) -> int:
    """Of `begun` frames that a window shares with what exists, the first so many that it takes as they are."""
    return begun - min(CROSSED, begun // 2)


def crossed(begun: Tensor, latent: Tensor) -> Tensor:
    """A window's latent [1, C, l] that goes over from what existed of it, `begun` [1, C, k], in the last of its frames.

    What the nano model makes right after frames that stand begins too softly.
    """
    shared, first = begun.shape[2], standing(begun.shape[2])
    share = torch.arange(1, shared - first + 1).to(latent) / (shared - first + 1)
    over = torch.lerp(begun[:, :, first:].to(latent), latent[:, :, first:shared], share)
    return torch.cat([begun[:, :, :first].to(latent), over, latent[:, :, shared:]], dim=2)


def joins(num_latents: int, window_seconds: float, context_seconds: float) -> list[float]:
    """Seconds at which a window of `long_sound` has taken over from the one before, for a sound of L frames."""
    slices = sound_windows(num_latents, window_seconds, context_seconds)
    return [own.stop / LATENT_RATE for own in slices[:-1]]


def to_make(slices: list[slice], known: Tensor) -> list[slice]:
    """Those of the windows in which not all frames are known, bool [L]."""
    return [own for own in slices if not bool(known[own].all())]


def window_runs(slices: list[slice], branches: int, beams: int) -> int:
    """Windows that `grow` makes in all, of the `slices` that are to be made."""
    return branches * (1 + (len(slices) - 1) * beams) if slices else 0


def _of(sampler: _Sampler, asked: _Asked) -> Velocity:
    return lambda sample, time: sampler.velocity(asked, sample, time)


def _continued(part: SoundConditioning, known: Tensor, own: slice) -> SoundConditioning:
    """Conditions of a window whose first frames [1, C, k] exist already, beside what the user gave."""
    length, begun = own.stop - own.start, known.shape[2]
    context = known.new_zeros(1, known.shape[1], length)
    mask = torch.zeros(1, length, dtype=torch.bool, device=known.device)
    if part.context is not None and part.context_mask is not None:
        context, mask = part.context.to(known).clone(), part.context_mask.to(known.device).clone()
    context[:, :, :begun], mask[:, :begun] = known, True
    return replace(part, context=context, context_mask=mask) if bool(mask.any()) else part


def _blended(sampler: _Sampler, asked: _Asked, slices: list[slice]) -> Velocity:
    """Velocity of the whole sound from those of its windows, weighed by triangles."""
    parts = [(own, asked.window(own), triangle(own.stop - own.start).to(sampler.model.device)) for own in slices]

    def velocity(sample: Tensor, time: Tensor) -> Tensor:
        total, weight = torch.zeros_like(sample), sample.new_zeros(sample.shape[2])
        for own, part, triangular in parts:
            total[:, :, own] += triangular * sampler.velocity(part, sample[:, :, own], time)
            weight[own] += triangular
        return total / weight

    return velocity


def triangle(length: int) -> Tensor:
    """Bartlett weights [length] that are nowhere zero, so that the ends of a sound have one too."""
    places = (torch.arange(length, dtype=torch.float32) + 0.5) / length
    return 1.0 - (2.0 * places - 1.0).abs()


def sound_windows(num_latents: int, window_seconds: float, context_seconds: float) -> list[slice]:
    """Windows of `long_sound` for L frames: no more than needed, whose lengths differ by a frame at most.

    A last window of what is left over would hold little beside known sound, which no training shows.
    """
    window, context = window_frames(window_seconds, context_seconds)
    count = len(windows(num_latents, window, context))
    if count == 1:
        return [slice(0, num_latents)]
    begins = [index * (num_latents - context) // count for index in range(count + 1)]
    return [slice(begin, following + context) for begin, following in pairwise(begins)]


def window_frames(window_seconds: float, context_seconds: float) -> tuple[int, int]:
    """Seconds of a window and of what neighbours share -> sound frames of both; ConfigError where they do not fit."""
    if not 0 <= context_seconds < window_seconds <= MAX_SECONDS:
        raise ConfigError(
            f"windows of {window_seconds:g} s cannot share {context_seconds:g} s; give a context from 0 up that is "
            "shorter than the window"
        )
    window = max(1, round(window_seconds * LATENT_RATE))
    return window, min(round(context_seconds * LATENT_RATE), window - 1)


def check_method(method: str, branches: int) -> None:
    """ConfigError for an unknown method of long sounds, or one that cannot choose among `branches`."""
    if method not in METHODS:
        raise ConfigError(f"long-form method {method!r} is unknown; use one of {', '.join(METHODS)}")
    if method != "extend" and branches > 1:
        raise ConfigError(f"{method} makes the whole sound at once; choose extend for candidates and beams")


def _check_length(conditioning: SoundConditioning, num_latents: int) -> None:
    if num_latents < 1:
        raise ShapeError(f"a sound of {num_latents} frames was asked for; it needs at least 1 (25 a second)")
    fixed = conditioning.num_latents
    if fixed is not None and fixed != num_latents:
        raise ShapeError(
            f"{num_latents} sound frames were asked for, the video or the known sound has {fixed}; cut or pad it first"
        )
