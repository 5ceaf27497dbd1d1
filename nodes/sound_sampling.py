"""Conditions and LATENT of a sound -> samples -> AUDIO."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from moviegen_core.conditioning.sound import SoundConditioning
from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.flow import solver as solvers
from moviegen_core.pipelines.sample import MAX_GUIDANCE, MAX_STEPS
from moviegen_core.pipelines.sound import GUIDANCE_SCALE, METHODS
from moviegen_core.pipelines.sound_scoring import match_scorer
from moviegen_core.pipelines.soundtrack import finish_sound
from moviegen_core.shapes import SOUND_LATENT_CHANNELS, SOUND_SAMPLE_RATE

from .convert import TEMPERATURE, USUAL_TEMPERATURE
from .runtime import host
from .sockets import FrameEncoders, io, ui
from .sound_convert import FRAMES
from .sound_latent import PIECES_KEY, length_of
from .sound_tools import ALIASES, CATEGORY
from .sound_windows import check_sound_latent

NANO_STEPS = 16  # what the shipped model is best sampled with; the paper takes 64
SOLVERS = sorted(solvers.SOLVERS, key=lambda name: name != "midpoint")  # the paper's first


class LongSound(io.ComfyNode):
    """MODEL -> MODEL that makes sounds of any length in windows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        seconds = {"default": 0.0, "min": 0.0, "max": 600.0, "step": 0.1}
        return io.Schema(
            node_id="MovieGenLongSound",
            display_name="Long Sound (Movie Gen)",
            category=CATEGORY,
            description="How sounds longer than a window are made, in constant memory, with any sampler.",
            search_aliases=[*ALIASES, "context windows", "multidiffusion", "long audio", "minutes", "beam search"],
            inputs=[
                io.Model.Input("model", tooltip="Sound transformer from Load Movie Gen Audio Model."),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    tooltip="extend: window after window, each hears the end of the last. multidiffusion: all at once, "
                    "blended by triangles at every step.",
                ),
                io.Float.Input(
                    "window_seconds", **seconds, tooltip="Length of a window. 0: what the model recommends."
                ),
                io.Float.Input(
                    "context_seconds",
                    **seconds,
                    tooltip="What neighbours share. 0: what the model recommends, at most half of a window.",
                ),
                io.Int.Input(
                    "beams",
                    default=1,
                    min=1,
                    max=8,
                    advanced=True,
                    tooltip="Best beginnings that go on side by side, in Sound Sampler with extend.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with this long form.")],
        )

    @classmethod
    def execute(
        cls, model: Any, method: str = METHODS[0], window_seconds: float = 0.0, context_seconds: float = 0.0,
        beams: int = 1,
    ) -> io.NodeOutput:  # fmt: skip
        """The model's own windows, with what is asked for."""
        given = {"window_seconds": window_seconds, "context_seconds": context_seconds}
        asked = {name: value for name, value in given.items() if value > 0}
        known = host.windows_of(model)
        if window_seconds > 0 and not context_seconds:
            asked["context_seconds"] = min(known.context_seconds, window_seconds / 2)
        windows = replace(known, method=method, beams=beams, **asked)
        return io.NodeOutput(host.set_windows(model, windows))


class SoundSampler(io.ComfyNode):
    """MODEL, conditions and LATENT -> the sampled LATENT of a sound of any length."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenSoundSampler",
            display_name="Sound Sampler (Movie Gen)",
            category=CATEGORY,
            description="Makes a sound of up to half an hour, keeps known sound, and takes the best candidate.",
            search_aliases=[*ALIASES, "ksampler", "sample", "generate sound", "video to audio", "foley", "re-ranking"],
            inputs=[
                io.Model.Input("model", tooltip="Sound transformer from Load Movie Gen Audio Model."),
                io.Conditioning.Input("positive", tooltip="What the sound is made from, from Video to Sound."),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What guidance leads away from. Unconnected: the null condition."
                ),
                io.Latent.Input("latent", tooltip="Its length and what is known, from Video, Extend or Fill Sound."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another sound; the same seed gives the same sound on every device.",
                ),
                io.Int.Input(
                    "steps",
                    default=NANO_STEPS,
                    min=1,
                    max=MAX_STEPS,
                    tooltip="More steps, cleaner sound, more time. Paper: 64; 16 suit the shipped model.",
                ),
                io.Float.Input(
                    "cfg",
                    default=GUIDANCE_SCALE,
                    min=0.0,
                    max=MAX_GUIDANCE,
                    step=0.1,
                    tooltip="How strictly video and text are followed. 1 is no guidance and takes half the time.",
                ),
                io.Int.Input(
                    "candidates",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Sounds made of each window, of which the best is kept. More than 1 needs frame_encoders "
                    "and vae. Paper: 8.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    advanced=True,
                    tooltip="midpoint as in the paper; euler takes half the time.",
                ),
                io.Float.Input(
                    "temperature",
                    **TEMPERATURE,
                    tooltip="Strength of the starting noise. Below 1: plainer, calmer sounds. The shipped nano "
                    "models work best at 0.8; 1 is the noise used in training.",
                ),
                io.Float.Input(
                    "picture_cfg",
                    default=0.0,
                    min=0.0,
                    max=MAX_GUIDANCE,
                    step=0.1,
                    tooltip="How strictly the picture alone is followed; cfg is then the words' alone. Above cfg, hits "
                    "keep closer to the picture. 0: both as one, in a third less time.",
                ),
                FrameEncoders.Input(
                    "frame_encoders",
                    optional=True,
                    tooltip="Their sound match ranks the candidates by how well they fit.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The codec, with which the candidates are heard."),
            ],
            outputs=[io.Latent.Output(tooltip="The sampled sound, for Sound Decode or VAE Decode Audio.")],
        )

    @classmethod
    def execute(
        cls, model: Any, positive: Any, latent: dict[str, Any], seed: int, steps: int, cfg: float,
        candidates: int = 1, solver: str = SOLVERS[0], temperature: float = USUAL_TEMPERATURE,
        picture_cfg: float = 0.0, negative: Any = None, frame_encoders: Any = None, vae: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """Sample; length and known sound travel on with the latent."""
        scorer = None
        if candidates > 1 or host.windows_of(model).beams > 1:
            if frame_encoders is None or vae is None:
                raise ConfigError(
                    "candidates and beams are ranked by ear; connect frame_encoders and vae, or set them to 1"
                )
            scorer = _Ears(frame_encoders, vae, host.words_width(model), positive[0][1].get(FRAMES))
        samples = host.sample_sound(
            model, positive, negative, latent,
            seed=seed, steps=steps, guidance_scale=cfg, picture_guidance=picture_cfg, solver=solver,
            temperature=temperature, candidates=candidates, scorer=scorer,
        )  # fmt: skip
        return io.NodeOutput({**latent, "samples": samples})


class SoundDecode(io.ComfyNode):
    """LATENT -> AUDIO of the clip's exact length, to be listened to in the node."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenSoundDecode",
            display_name="Sound Decode (Movie Gen)",
            category=CATEGORY,
            description="Decodes a sound to exactly the clip's length, puts known sound back, and plays it here.",
            search_aliases=[*ALIASES, "vae decode audio", "latent to audio", "preview audio", "listen"],
            inputs=[
                io.Latent.Input("samples", tooltip="The sound to decode."),
                io.Vae.Input("vae", tooltip="Codec from Load DAC-VAE (Movie Gen)."),
                io.Combo.Input(
                    "channels",
                    options=["mono", "stereo"],
                    tooltip="The model makes mono; stereo gives it width, and is the mono sound again when summed.",
                ),
                io.Custom("AUDIO_UI").Input("audioUI", optional=True, tooltip="Plays the sound that was made."),
            ],
            outputs=[io.Audio.Output(tooltip="The sound at 48 kHz, for Set Video Audio or Save Audio.")],
            is_output_node=True,  # the editor gives a player to no other
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], vae: Any, channels: str = "mono", audioUI: Any = None) -> io.NodeOutput:
        """Item by item; known pieces come back sample for sample but for up to 50 ms beside their joins."""
        latent, length = check_sound_latent(samples, SOUND_LATENT_CHANNELS), length_of(samples)
        codec, known = host.sound_codec(vae, latent.shape[2]), samples.get(PIECES_KEY, ())
        progress, made = host.Progress(len(latent)), []
        for one in latent.split(1):
            progress(len(made))
            made.append(finish_sound(codec, one, length, channels=1 + (channels == "stereo"), known=known))
        progress(len(made))
        audio = {"waveform": torch.stack(made), "sample_rate": SOUND_SAMPLE_RATE}
        return io.NodeOutput(audio, ui=ui.PreviewAudio(audio, cls=cls))


class _Ears:
    """Ranks candidates by the sound match, with every network on its device when it is its turn."""

    def __init__(self, eyes: Any, vae: Any, text_dim: int, frames: Tensor | None) -> None:
        """Words are `text_dim` wide, `frames` [1, 1 + F, L] is what the video shows."""
        self.eyes, self.vae, encoders = eyes, vae, host.frame_encoders(eyes)
        if encoders.motion is None:
            raise ConfigError("candidates are ranked by the sound match; choose a motion encoder in the frame encoders")
        if frames is not None and frames.shape[1] - 1 != encoders.dim:
            raise ShapeError(
                f"the video's features are {frames.shape[1] - 1} wide, those that candidates are ranked by "
                f"{encoders.dim}; connect the frame encoders that Video to Sound read, or set candidates and beams to 1"
            )
        self.scorer = match_scorer(encoders.motion, host.sound_codec(vae, 1), text_dim, sees=frames is not None)

    def __call__(self, latent: Tensor, conditioning: SoundConditioning) -> Tensor:
        """latent [B, C, L] and its conditions -> scores [B]."""
        host.sound_codec(self.vae, latent.shape[2])
        host.frame_encoders(self.eyes)
        return self.scorer(latent, conditioning).to(latent.device)
