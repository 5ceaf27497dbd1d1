"""Prompt -> film in one call, with sound where it is wanted: inputs are checked before any work."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..conditioning.text import TextEncoders, add_camera, encode_prompt
from ..devices import Placement, Residency, choose, stay
from ..errors import CheckpointError, ConfigError, ShapeError
from ..flow import times
from ..flow.solver import OnStep, Solver, check_solver
from ..media.timeline import exact_fps, exactly
from ..models import adapters, loading
from ..models.tae.model import TAE
from ..models.text import load_text_encoder
from ..models.text.model import ROLES
from ..models.video_dit.model import VideoDiT
from ..ops.attention import Attend, resolve
from ..ops.memory import keep_large_buffers
from ..shapes import (
    SIZE_MULTIPLE,
    SPATIAL_STRIDE,
    TEMPORAL_STRIDE,
    LatentShape,
    check_duration,
    check_number,
    check_whole,
    clip_latent,
)
from .decode import decode_video, encode_video
from .film import Film
from .parts import find_parts, recommended
from .sample import (
    EMULATED_STEPS,
    GUIDANCE_SCALE,
    STEPS,
    check_guidance,
    check_seed,
    check_steps,
    check_temperature,
    sample_video,
    tell_size,
)
from .soundtrack import SoundPipeline

logger = logging.getLogger(__name__)

PARTS = ("video", "tae", *ROLES)
FPS_RANGE = (1.0, 120.0)
MAX_STRENGTH = 100.0  # of a LoRA, either way


class MovieGenPipeline:
    """Everything that turns a prompt into a film."""

    def __init__(
        self,
        video: VideoDiT,
        tae: TAE,
        encoders: TextEncoders,
        placement: Placement,
        *,
        sampling: Mapping[str, Any] | None = None,
        residency: Residency = stay,
        load_sound: Callable[[], SoundPipeline] | None = None,
        video_file: Path | None = None,
    ) -> None:
        """`sampling` holds what the checkpoint recommends: guidance_scale, steps, temperature, largest_side (pixels).

        `load_sound` is called when a film is to have sound for the first time. `video_file` is what `video` was loaded
        from, if it was: LoRA files are added to weights as they stand there.
        """
        self.video = video
        self.tae = tae
        self.encoders = encoders
        self.placement = placement
        self.sampling = dict(sampling or {})
        self.residency = residency
        self.load_sound = load_sound
        self.added = adapters.Added(video, video_file)

    @cached_property
    def sound(self) -> SoundPipeline:
        """What makes the sound of films; CheckpointError where there are no weights for it."""
        if self.load_sound is None:
            raise CheckpointError("this pipeline was built without sound; load it with from_pretrained or load_sound")
        return self.load_sound()

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] = "nano",
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        attend: str | Attend = "auto",
        residency: Residency = stay,
    ) -> MovieGenPipeline:
        """Load "nano", or a folder with video, tae, ul2, metaclip and byt5.

        Each is NAME.safetensors, NAME.safetensors.index.json or a folder NAME; text encoders may be absent,
        but not all three. What sound needs (see SoundPipeline.from_pretrained) is loaded when it is needed.
        With `residency=devices.visit` networks wait in main memory and visit the device one by one. ConfigError for a
        `source` of another type.
        """
        if not isinstance(source, (str, os.PathLike)):
            raise ConfigError(f"the model is {source!r}; give the name of a shipped one, such as nano, or a folder")
        placement = choose(device, dtype)
        if placement.device.type == "cpu":
            keep_large_buffers()
        files = find_parts(source, PARTS)
        _need(files, os.fspath(source))
        home = placement.device if residency is stay else torch.device("cpu")
        tae = loading.load(files["tae"], device=home, dtype=placement.dtype, network="tae")
        video = loading.load(
            files["video"],
            device=home,
            dtype=placement.dtype,
            # "auto" depends on where the network will work, not on where it waits.
            attend=resolve(attend, placement.device, placement.dtype),
            network="video_dit",
        )
        encoders = TextEncoders(
            **{
                role: load_text_encoder(role, files[role], device=home, dtype=placement.dtype)
                for role in ROLES
                if role in files
            }
        )

        def load_sound() -> SoundPipeline:
            # Where sound has no text encoder of its own, it reads with the film's: that is not loaded twice.
            words = None if find_parts(source, ("t5",)) else encoders.ul2
            return SoundPipeline.from_pretrained(
                source, device=device, dtype=dtype, attend=attend, residency=residency, words=words
            )

        check_pair(cast(VideoDiT, video), cast(TAE, tae))
        return cls(
            cast(VideoDiT, video),
            cast(TAE, tae),
            encoders,
            placement,
            sampling=recommended(files["video"]),
            residency=residency,
            load_sound=load_sound,
            video_file=files["video"],
        )

    def __call__(
        self,
        prompt: str,
        *,
        camera: str | None = None,
        negative: str = "",
        num_frames: int = 256,
        fps: float = 16,
        height: int = 128,
        width: int = 128,
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
        schedule: str = "linear_quadratic",
        emulated_steps: int = EMULATED_STEPS,
        solver: Solver = "euler",
        temperature: float | None = None,
        show_text: str | None = None,
        on_step: OnStep | None = None,
        audio_length: float | None = None,
        sound_prompt: str | None = None,
        music: str = "",
        sound_options: Mapping[str, Any] | None = None,
    ) -> Film:
        """Sample a clip of `num_frames` at `height` x `width` pixels; the film decodes itself when it is saved.

        An empty prompt asks for nothing in particular; `negative` is steered away from, and `show_text` written in the
        film (default: what the prompt quotes). `camera` is one of the paper's camera motions or shot types
        (conditioning.text) and is put before it. `steps`, `guidance_scale` and `temperature` (of the noise, see
        sample_video) default to what the checkpoint recommends, else to the paper's 50, 7.5 and 1.
        `on_step(step, steps, estimate)` may raise to cancel.

        With `audio_length` (seconds, at most the clip's) the film gets sound, made from its pictures and `sound_prompt`
        ("": from the pictures alone; default: the prompt), with `music` of the kind described. `sound_options` are
        further arguments of SoundPipeline. What fails while the sound is made takes the film with it: one that takes
        long is better made without, and given to `add_sound`.

        ShapeError for a size that the model does not make, ConfigError for other settings out of range; both before
        any work.
        """
        steps = int(self.sampling.get("steps", STEPS)) if steps is None else steps
        if guidance_scale is None:
            guidance_scale = float(self.sampling.get("guidance_scale", GUIDANCE_SCALE))
        if temperature is None:
            temperature = float(self.sampling.get("temperature", 1.0))
        check_temperature(temperature)
        check_settings(prompt, negative, fps, seed, steps, guidance_scale)
        if audio_length is None:
            _refuse_sound(sound_prompt=sound_prompt, music=music or None, sound_options=sound_options or None)
        check_whole(emulated_steps=emulated_steps)
        check_solver(solver)
        times.schedule(schedule, int(steps), int(emulated_steps))
        # Numbers of NumPy, which the film's facts could not be written with, become Python's own.
        fps, seed, steps, emulated_steps = float(fps), int(seed), int(steps), int(emulated_steps)
        guidance_scale, temperature = float(guidance_scale), float(temperature)
        prompt = prompt if camera is None else add_camera(prompt, camera)
        shape = self.check_size(num_frames, height, width, fps)
        tell_size(self.sampling, shape)
        if audio_length is not None:
            check_duration(audio_length)
            # What cannot be heard is told before the work.
            self.sound.check(sound_prompt or "", **{"seed": seed, "music": music, **(sound_options or {})})
        if not prompt.strip():
            logger.warning("the prompt is empty: the film shows whatever the model likes")

        device = self.placement.device
        conditioning, against = self._encode(prompt, negative, fps, show_text)
        with self.residency(self.video, device):
            latent = sample_video(
                self.video,
                conditioning,
                shape,
                seed=seed,
                negative=against,
                steps=steps,
                guidance_scale=guidance_scale,
                schedule=schedule,
                emulated_steps=emulated_steps,
                solver=solver,
                temperature=temperature,
                on_step=on_step,
            )
        facts = {
            "prompt": prompt,
            "negative": negative,
            "seed": seed,
            "steps": steps,
            "guidance_scale": guidance_scale,
            "schedule": schedule,
            "emulated_steps": emulated_steps,
            "solver": solver,
            "temperature": temperature,
        }
        if show_text is not None:
            facts["show_text"] = show_text
        if self.added.strengths:
            facts["loras"] = [list(one) for one in self.added.strengths]
        film = Film(latent.cpu(), num_frames, fps, self.decode, facts)
        if audio_length is None:
            return film
        said = prompt if sound_prompt is None else sound_prompt
        options = {"seed": seed, "music": music, **(sound_options or {})}
        return self.add_sound(film, said, seconds=audio_length, **options)

    def add_sound(self, film: Film, prompt: str = "", *, seconds: float | None = None, **options: Any) -> Film:
        """The film with a sound made from its pictures and a description, for all of it or its first `seconds`.

        `options` go to SoundPipeline.
        """
        clip = film.num_frames / exact_fps(film.fps)
        length = clip
        if seconds is not None:
            check_duration(seconds)
            # A length that was rounded means the clip's own, which is exact to the sample.
            if seconds < clip - 1 / exact_fps(film.fps):
                length = exactly(seconds)
            elif seconds > clip + 1 / exact_fps(film.fps):
                logger.warning("the sound of %g s was cut to the film's %g s", seconds, float(clip))
        return replace(film, sound=self.sound(prompt, frames=film.windows(), fps=film.fps, seconds=length, **options))

    def add_lora(self, path: str | os.PathLike[str], strength: float = 1.0) -> MovieGenPipeline:
        """Add a LoRA file to the video transformer's weights, `strength` times; gives the pipeline itself.

        The same file adds up, and the opposite strength takes it away again without a trace. Weights are rounded once,
        to the pipeline's dtype: what is too weak for that shows in float32 alone (see adapters.Added). CheckpointError
        where the file belongs to another network. ConfigError for a strength out of range.
        """
        check_number(strength=strength)
        if not abs(strength) <= MAX_STRENGTH:
            raise ConfigError(
                f"a LoRA of strength {strength:g} was asked for; use a number from -{MAX_STRENGTH:g} to "
                f"{MAX_STRENGTH:g}, 1 for the file as it is"
            )
        self.added.add(path, float(strength))
        return self

    def decode(self, latent: Tensor, num_frames: int) -> Iterator[Tensor]:
        """Latent [B, C, T, H, W] -> pixel windows [B, 3, t, H, W] in [-1, 1], streamed."""
        with self.residency(self.tae, self.placement.device):
            yield from decode_video(self.tae, latent.to(self.placement.device), num_frames)

    def reconstruct(self, pixels: Tensor) -> Iterator[Tensor]:
        """Pixels [B, 3, T, H, W] in [-1, 1] through the autoencoder and back, as `decode` gives them.

        ShapeError for other shapes.
        """
        if not isinstance(pixels, Tensor) or pixels.ndim != 5 or pixels.shape[1] != 3:
            given = f"shape {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else f"type {type(pixels).__name__}"
            raise ShapeError(f"pixels of {given} were given; give a tensor [B, 3, T, H, W] in [-1, 1]")
        with self.residency(self.tae, self.placement.device):
            latent = encode_video(self.tae, pixels.to(self.placement.device, self.placement.dtype))
        return self.decode(latent, pixels.shape[2])

    def check_size(self, num_frames: int, height: int, width: int, fps: float | None = None) -> LatentShape:
        """Latent shape of the clip; ShapeError names the nearest size that the position tables hold.

        With `fps` it tells lengths in seconds too.
        """
        check_whole(num_frames=num_frames, height=height, width=width)
        config = self.video.config
        limits = [size * patch for size, patch in zip(config.max_grid, config.patch_size, strict=True)]
        most = limits[0] * TEMPORAL_STRIDE
        if not 1 <= num_frames <= most:
            asked, longest = f"{num_frames} frames", f"{most} frames"
            if fps is not None:
                asked += f" ({round(num_frames / fps, 2):g} s at {fps:g} fps)"
                longest += f", {round(most / fps, 2):g} s at {fps:g} fps"
            raise ShapeError(f"{asked} are outside of what this model makes; use 1 to {longest}")
        for side, size, limit in (("height", height, limits[1]), ("width", width, limits[2])):
            largest = limit * SPATIAL_STRIDE
            nearest = min(largest, max(SIZE_MULTIPLE, round(size / SIZE_MULTIPLE) * SIZE_MULTIPLE))
            if size != nearest:
                raise ShapeError(
                    f"{side} {size} must be a multiple of {SIZE_MULTIPLE} pixels from {SIZE_MULTIPLE} to {largest}; "
                    f"use {nearest}"
                )
        return clip_latent(num_frames, height, width)

    def _encode(self, prompt: str, negative: str, fps: float, show_text: str | None) -> tuple[Any, Any]:
        """Positive and negative conditioning, each encoder on the device while it reads."""

        def bring(encoder: Any) -> AbstractContextManager[Any]:
            return self.residency(encoder, self.placement.device)

        return (
            encode_prompt(self.encoders, prompt, fps=fps, show_text=show_text, bring=bring),
            encode_prompt(self.encoders, negative, fps=fps, bring=bring),
        )


def check_pair(video: VideoDiT, tae: TAE) -> None:
    """CheckpointError where the autoencoder cannot decode what the transformer makes."""
    made = (video.config.out_channels, TEMPORAL_STRIDE, SPATIAL_STRIDE)
    held = (tae.config.latent_channels, tae.config.temporal_stride, tae.config.spatial_stride)
    if made != held:
        raise CheckpointError(
            f"the autoencoder has {held[0]} latent channels and strides of {held[1]} frames and {held[2]} pixels, the "
            f"transformer needs {made[0]}, {made[1]} and {made[2]}; give the one that it was trained with"
        )


def _refuse_sound(**given: object) -> None:
    """ConfigError for the first thing that was said of the sound of a film without any."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} is of a sound, and audio_length was not given; give the seconds of sound")


def check_settings(prompt: str, negative: str, fps: float, seed: int, steps: int, guidance_scale: float) -> None:
    """ConfigError for the first setting that cannot work."""
    if not isinstance(prompt, str) or not isinstance(negative, str):
        raise ConfigError("a prompt must be one string; call the pipeline once for each prompt")
    check_fps(fps)
    check_seed(seed)
    check_steps(steps)
    check_guidance(guidance_scale)


def check_fps(fps: float) -> None:
    """ConfigError unless a film can be shown at `fps`."""
    check_number(fps=fps)
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise ConfigError(f"fps {fps:g} is outside of {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}; the models know 16 and 24")


def _need(files: Mapping[str, Path], where: str) -> None:
    missing = [part for part in ("video", "tae") if part not in files]
    if not any(role in files for role in ROLES):
        missing.append(f"at least one of {', '.join(ROLES)}")
    if missing:
        raise CheckpointError(
            f"{where} lacks {' and '.join(missing)}; it holds {', '.join(sorted(files)) or 'none of the parts'} "
            "(each part is NAME.safetensors or a folder NAME)"
        )
