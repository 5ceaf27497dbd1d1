"""Sound in ComfyUI: sampling in windows with any guider's machinery, frame encoders, the codec on its device.

Shape letters: B batch, C latent channels, L sound frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor, nn

from moviegen_core.conditioning.sound import FrameEncoders
from moviegen_core.errors import BackendError
from moviegen_core.flow import times
from moviegen_core.pipelines.sound import crossed, grow, make_noise, standing, triangle
from moviegen_core.pipelines.sound_scoring import Scorer

from .. import convert, preview, sound_convert
from ..sound_convert import FRAMES, KNOWN
from ..sound_windows import NO_CODEC, NO_SOUND, WINDOWS_KEY, Plan, Windows
from .comfy_sampling import Progress, along_the_flow, check_flow, is_ours, null_condition
from .comfy_sound_vae import MovieGenSoundVAE
from .comfy_weights import SAMPLING_KEY
from .sound_eyes import read_encoders


@dataclass
class Eyes:
    """Frame encoders whose weights ComfyUI moves."""

    encoders: FrameEncoders
    network: nn.Module = field(init=False, repr=False)
    patcher: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        manage = comfy.model_management
        parts = {"vision": self.encoders.vision, "motion": self.encoders.motion}
        self.network = nn.ModuleDict({name: part for name, part in parts.items() if part is not None})
        # The tower's layers are those of transformers: they must be whole, not streamed on demand.
        self.patcher = comfy.model_patcher.ModelPatcher(
            self.network, load_device=manage.text_encoder_device(), offload_device=manage.text_encoder_offload_device()
        )

    def bring(self) -> FrameEncoders:
        """The encoders, on the device where they work."""
        comfy.model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.encoders


def load_frame_encoders(paths: dict[str, Path]) -> Eyes:
    """Files of "metaclip_vision" and "sound_match" -> frame encoders."""
    return Eyes(read_encoders(paths, comfy.model_management.text_encoder_offload_device()))


def frame_encoders(eyes: Eyes) -> FrameEncoders:
    """What looks at frames, ready to work."""
    return eyes.bring()


def sound_codec(vae: Any, num_latents: int) -> Any:
    """The codec inside of a VAE, on its device; BackendError for other VAEs."""
    if not isinstance(vae, MovieGenSoundVAE):
        raise BackendError(NO_CODEC)
    memory = vae.memory_used_decode((1, 1, num_latents), vae.vae_dtype)
    comfy.model_management.load_models_gpu([vae.patcher], memory_required=memory)
    return vae.first_stage_model.codec


def windows_of(model: Any) -> Windows:
    """The long form of a MODEL: the one it was given, else what its file recommends, else the paper's."""
    return model.get_attachment(WINDOWS_KEY) or Windows.recommended(model.get_attachment(SAMPLING_KEY) or {})


def set_windows(model: Any, windows: Windows) -> Any:
    """The MODEL with a long form that stock samplers follow too."""
    _sound_channels(model)
    kinds = comfy.patcher_extension.WrappersMP
    patched = model.clone()
    patched.set_attachments(WINDOWS_KEY, windows)
    for kind in (kinds.OUTER_SAMPLE, kinds.CALC_COND_BATCH):
        patched.remove_wrappers_with_key(kind, WINDOWS_KEY)
    if windows.method == "extend":
        patched.add_wrapper_with_key(kinds.OUTER_SAMPLE, WINDOWS_KEY, _window_by_window(windows))
    else:
        patched.add_wrapper_with_key(kinds.CALC_COND_BATCH, WINDOWS_KEY, _blended(windows))
    return patched


def words_width(model: Any) -> int:
    """Width of the words that a sound MODEL reads; BackendError for one whose sounds cannot be ranked."""
    _sound_channels(model)
    if not is_ours(model):
        raise BackendError(
            "only Movie Gen's own sounds can be ranked; connect Load Movie Gen Audio Model, or set candidates and "
            "beams to 1"
        )
    return int(model.model.diffusion_model.config.text_dim)


def sample_sound(
    model: Any, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], *,
    seed: int, steps: int, guidance_scale: float, picture_guidance: float, solver: str, temperature: float,
    candidates: int, scorer: Scorer | None,
) -> Tensor:  # fmt: skip
    """Fill the unknown part of a LATENT with any sound MODEL -> samples [B, C, L]; each item in windows of its own."""
    windows, channels = windows_of(model), _sound_channels(model)
    check_flow(model)
    plan = Plan.of(latent, channels, windows, candidates, scorer)
    for _, values in [*positive, *(negative or [])]:
        sound_convert.check_length(values.get(FRAMES), plan.samples.shape[2])
    part, progress = plan.part, StepsOfAll(steps * plan.runs())
    run = _Run(model, positive, negative, steps, guidance_scale, picture_guidance, solver, temperature, progress)
    made = plan.samples.clone().float()
    for item in range(len(made)):

        def window(own: slice, begun: Tensor, item: int = item) -> Callable[[int], tuple[Tensor, float]]:
            whole = slice(part.start + own.start, part.start + own.stop)
            start, mask = made[item : item + 1, :, whole].clone(), plan.kept[item, whole].clone()
            start[:, :, : begun.shape[2]], mask[: begun.shape[2]] = begun.to(start), True
            return lambda seed: run(start, mask, whole, seed, scorer)

        def known(own: slice, item: int = item) -> Tensor | None:
            return None if own in plan.wanted[item] else made[item : item + 1, :, part][:, :, own]

        nothing, first = made.new_zeros(1, channels, 0), plan.seed(seed, item)
        plan.put(made, item, grow(window, plan.slices, nothing, plan.branches, plan.beams, first, known))
    return made.to(comfy.model_management.intermediate_device())


def _sound_channels(model: Any) -> int:
    """Latent channels of a MODEL that makes sound; BackendError for any other."""
    shape = model.get_model_object("latent_format")
    if shape.latent_dimensions != 1:
        raise BackendError(NO_SOUND)
    return shape.latent_channels


class StepsOfAll:
    """Steps of all windows and candidates as one bar."""

    def __init__(self, total: int) -> None:
        self.bar, self.done = Progress(total), 0

    def step(self, estimate: Tensor) -> None:
        """One step more; raises when the user cancels."""
        self.done += 1
        self.bar(self.done, preview.sound_picture(estimate))


class _Run:
    """One guided run over one window, with what all of them share."""

    def __init__(
        self, model: Any, positive: list[Any], negative: list[Any] | None, steps: int, guidance_scale: float,
        picture_guidance: float, solver: str, temperature: float, progress: StepsOfAll,
    ) -> None:  # fmt: skip
        self.model, self.positive = model, positive
        self.negative = null_condition(model, positive) if negative is None else negative
        self.sigmas = convert.sigmas(times.linear(steps))
        self.guidance_scale, self.picture_guidance = guidance_scale, picture_guidance
        self.temperature, self.progress = temperature, progress
        self.sampler = comfy.samplers.KSAMPLER(along_the_flow(solver))

    def __call__(
        self, start: Tensor, kept: Tensor, whole: slice, seed: int, scorer: Scorer | None
    ) -> tuple[Tensor, float]:
        """Start [1, C, l] of which frames `kept` [l] stay, the window's place in the sound -> latent and score."""
        positive, negative = ([cut(one, whole) for one in conds] for conds in (self.positive, self.negative))
        guider = comfy.samplers.CFGGuider(self.model)
        if self.picture_guidance and any(FRAMES in values for _, values in positive):
            guider = _Apart(self.model, self.picture_guidance)
        guider.set_conds(positive, negative)
        guider.set_cfg(self.guidance_scale)
        latent = guider.sample(
            self.temperature * make_noise(1, start.shape[1], start.shape[2], seed),
            start,
            self.sampler,
            self.sigmas,
            denoise_mask=(~kept).float()[None, None] if bool(kept.any()) else None,
            callback=lambda step, estimate, current, total: self.progress.step(estimate),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        ).to(start)  # guiders leave it on the model's device
        if scorer is None:
            return latent, 0.0
        tensor, values = positive[0]
        conditioning = sound_convert.conditioning(tensor, values.get(FRAMES), None, 1, words_width(self.model))
        return latent, float(scorer(latent, conditioning)[0])


class _Apart(comfy.samplers.CFGGuider):  # type: ignore[misc]
    """Guidance by words, and by what the pictures add to them, each as strictly as wanted."""

    def __init__(self, model: Any, picture_guidance: float) -> None:
        super().__init__(model)
        self.picture_guidance = picture_guidance

    def set_conds(self, positive: list[Any], negative: list[Any]) -> None:
        """Beside these two, what `positive` says without what it shows."""
        words = [[text, {key: values[key] for key in values if key != FRAMES}] for text, values in positive]
        self.inner_set_conds({"positive": positive, "words": words, "negative": negative})

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: Any = None
    ) -> Tensor:
        """The clean latent as guided; on a straight path that guides the velocity alike."""
        options = model_options or {}
        conds = [self.conds[name] for name in ("negative", "words", "positive")]
        null, words, whole = comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, options)
        guided: Tensor = comfy.samplers.cfg_function(
            self.inner_model, words, null, self.cfg, x, timestep, model_options=options, cond=conds[1], uncond=conds[0]
        )
        return guided + self.picture_guidance * (whole - words)


def cut(entry: list[Any], own: slice) -> list[Any]:
    """A CONDITIONING entry for the sound frames `own`."""
    tensor, values = entry
    return [tensor, {**values, FRAMES: values[FRAMES][:, :, own]}] if FRAMES in values else entry


def _window_by_window(windows: Windows) -> Callable[..., Tensor]:
    """Wrapper of a whole run: each window hears the end of the one before."""

    def wrapper(
        executor: Any, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor,
        denoise_mask: Tensor | None = None, callback: Any = None, disable_pbar: bool = False, seed: Any = None,
        **rest: Any,
    ) -> Tensor:  # fmt: skip
        slices = windows.slices(noise.shape[2]) if noise.ndim == 3 else [slice(0)]
        guider = executor.class_obj
        if noise.ndim == 3:
            for cond in (one for entries in guider.conds.values() for one in entries or ()):
                sound_convert.check_length(cond.get(FRAMES), noise.shape[2])
        if len(slices) == 1:
            return executor(noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed, **rest)
        made = latent_image.clone()
        conds, steps = guider.conds, len(sigmas) - 1
        # A user's mask is on the model's device already, where the latent comes only later.
        device = guider.model_patcher.load_device
        mask = torch.ones_like(made, device=device) if denoise_mask is None else denoise_mask
        for number, own in enumerate(slices):
            begun = made[:, :, own.start : slices[number - 1].stop if number else own.start].clone()
            free = mask[:, :, own].clone()
            free[:, :, : standing(begun.shape[2])] = 0.0
            guider.conds = {
                kind: [
                    {**cond, FRAMES: cond[FRAMES][:, :, own]} if cond.get(FRAMES) is not None else dict(cond)
                    for cond in entries
                ]
                for kind, entries in conds.items()
            }

            def report(step: int, estimate: Tensor, x: Tensor, total: int, number: int = number, own: slice = own):
                shown = made.to(estimate).clone()
                shown[:, :, own] = estimate
                callback(number * steps + step, shown, shown, steps * len(slices))

            if "latent_shapes" in rest:
                rest["latent_shapes"] = [made[:, :, own].shape]
            part = executor(
                noise[:, :, own],
                made[:, :, own],
                sampler,
                sigmas,
                free if number or denoise_mask is not None else None,
                report if callback is not None else None,
                disable_pbar,
                seed,
                **rest,
            )
            made[:, :, own] = crossed(begun, part.to(made))
        return made

    return wrapper


def _blended(windows: Windows) -> Callable[..., list[Tensor]]:
    """Wrapper of every prediction: windows weighed by triangles (the paper's multi-diffusion)."""

    def wrapper(
        executor: Any, model: Any, conds: list[Any], x: Tensor, timestep: Tensor, model_options: dict[str, Any]
    ) -> list[Tensor]:
        slices = windows.slices(x.shape[2]) if x.ndim == 3 else [slice(0)]
        if len(slices) == 1:
            return executor(model, conds, x, timestep, model_options)
        totals, weight = [torch.zeros_like(x) for _ in conds], x.new_zeros(x.shape[2])
        for own in slices:
            comfy.model_management.throw_exception_if_processing_interrupted()
            inside = [None if entries is None else [_cut_processed(cond, own) for cond in entries] for entries in conds]
            share = triangle(own.stop - own.start).to(x)
            for total, part in zip(totals, executor(model, inside, x[:, :, own], timestep, model_options), strict=True):
                total[:, :, own] += share * part
            weight[own] += share
        return [total / weight for total in totals]

    return wrapper


def _cut_processed(cond: dict[str, Any], own: slice) -> dict[str, Any]:
    """A condition as the model has made it, for the sound frames `own`."""
    given = dict(cond["model_conds"])
    for key in (FRAMES, KNOWN):
        if key in given:
            given[key] = given[key]._copy_with(given[key].cond[:, :, own])
    return {**cond, "model_conds": given}
