"""Video nodes: empty latents, schedules, sampling, decoding and encoding."""

from __future__ import annotations

from typing import Any

import torch

from moviegen_core.errors import ConfigError
from moviegen_core.flow import solver as solvers
from moviegen_core.flow import times
from moviegen_core.pipelines.sample import MAX_GUIDANCE, MAX_STEPS
from moviegen_core.shapes import SPATIAL_STRIDE, TEMPORAL_STRIDE, clip_latent, decoded_frames

from . import convert
from .runtime import host
from .sockets import io

CATEGORY = "MovieGen/video"
ALIASES = ["movie gen", "moviegen"]
EMULATED = 10000  # steps of the longest schedule that a few may imitate
DENOISE = {
    "default": 1.0,
    "min": 0.0,
    "max": 1.0,
    "step": 0.01,
    "tooltip": "How much of the way to go: 1 starts from noise, less keeps more of the given latent.",
}
WINDOW = {"min": 16, "max": 256, "step": 8, "advanced": True}  # frames


class EmptyVideoLatent(io.ComfyNode):
    """Size of the clip to be made -> LATENT."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        size = {"min": 16, "max": 4096, "step": 16}
        return io.Schema(
            node_id="MovieGenEmptyVideoLatent",
            display_name="Empty Video Latent (Movie Gen)",
            category=CATEGORY,
            description="Size and length of the clip to be made. The shipped model makes 128 x 128, up to 256 frames.",
            search_aliases=[*ALIASES, "empty latent", "video size", "length"],
            inputs=[
                io.Int.Input("width", default=128, **size, tooltip="Width in pixels, a multiple of 16."),
                io.Int.Input("height", default=128, **size, tooltip="Height in pixels, a multiple of 16."),
                io.Int.Input(
                    "length", default=128, min=1, max=4096, tooltip="Frames: seconds times fps. 1 makes a picture."
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Clips made at once."),
            ],
            outputs=[io.Latent.Output(tooltip="An empty latent of that size.")],
        )

    @classmethod
    def execute(cls, width: int, height: int, length: int, batch_size: int = 1) -> io.NodeOutput:
        """Zeros of the right shape."""
        shape = clip_latent(length, height, width, batch=batch_size)
        # Samplers of other flow models fit an empty latent's size by these.
        ratios = dict(zip(convert.EMPTY_RATIOS, (SPATIAL_STRIDE, TEMPORAL_STRIDE), strict=True))
        return io.NodeOutput({**convert.latent(torch.zeros(shape.as_tuple()), length), **ratios})


class LinearQuadraticSigmas(io.ComfyNode):
    """Movie Gen's inference schedule for stock samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenLinearQuadraticSigmas",
            display_name="Linear-Quadratic Sigmas (Movie Gen)",
            category=CATEGORY,
            description="Small even steps first, then growing ones: imitates N steps with a few. For any flow model.",
            search_aliases=[*ALIASES, "scheduler", "sigmas", "linear quadratic schedule", "flow matching schedule"],
            inputs=[
                io.Int.Input("steps", default=50, min=1, max=MAX_STEPS, tooltip="Steps taken. The paper takes 50."),
                io.Int.Input(
                    "emulated_steps",
                    default=1000,
                    min=1,
                    max=EMULATED,
                    tooltip="Length N of the imitated linear schedule, at least the steps. More: smaller first steps.",
                ),
                io.Combo.Input(
                    "kind",
                    options=list(times.KINDS),
                    advanced=True,
                    tooltip="How the quadratic half is read: joined without a kink, or as a pure square.",
                ),
                io.Float.Input("denoise", **DENOISE),
            ],
            outputs=[io.Sigmas.Output(tooltip="Falling sigmas for SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(
        cls, steps: int, emulated_steps: int, kind: str = times.KINDS[0], denoise: float = 1.0
    ) -> io.NodeOutput:
        """The last `steps` of a schedule so long that they cover `denoise` of the way, as stock schedulers do."""
        if denoise <= 0.0:
            return io.NodeOutput(torch.zeros(0))
        total = convert.whole_steps(steps, denoise, EMULATED)
        # What is left out of a longer schedule needs one to be imitated that is as long.
        emulated = emulated_steps if denoise == 1.0 else max(emulated_steps, total)
        return io.NodeOutput(convert.sigmas(times.linear_quadratic(total, emulated, kind)[-(steps + 1) :]))


class VideoSampler(io.ComfyNode):
    """MODEL, prompt and size -> a sampled LATENT."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenVideoSampler",
            display_name="Video Sampler (Movie Gen)",
            category=CATEGORY,
            description="Makes a clip with the paper's schedule and solver, and shows a few of its frames meanwhile.",
            search_aliases=[*ALIASES, "ksampler", "sample", "generate video", "text to video"],
            inputs=[
                io.Model.Input("model", tooltip="Video transformer from Load Movie Gen Model, or another flow model."),
                io.Conditioning.Input("positive", tooltip="What the video should show."),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What it should not show. Unconnected: the null condition."
                ),
                io.Latent.Input("latent", tooltip="Size of the clip, from Empty Video Latent (Movie Gen)."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Another seed, another video; the same seed gives the same video on every device.",
                ),
                io.Int.Input("steps", default=50, min=1, max=MAX_STEPS, tooltip="More steps, finer motion, more time."),
                io.Float.Input(
                    "cfg",
                    default=3.0,
                    min=0.0,
                    max=MAX_GUIDANCE,
                    step=0.1,
                    tooltip="How strictly the prompt is followed. 1 is no guidance and takes half the time. "
                    "The shipped nano model works best at 3; the paper uses 7.5.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(times.SCHEDULES),
                    advanced=True,
                    tooltip="Where the steps lie: linear_quadratic as in the paper, or evenly spaced.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(solvers.SOLVERS),
                    advanced=True,
                    tooltip="euler as in the paper; midpoint is more exact and takes twice the time.",
                ),
                io.Float.Input(
                    "temperature",
                    **convert.TEMPERATURE,
                    tooltip="Strength of the starting noise. Below 1: calmer, plainer clips. The shipped nano "
                    "models work best at 0.8; 1 is the noise used in training.",
                ),
                io.Float.Input("denoise", **DENOISE),
            ],
            outputs=[io.Latent.Output(tooltip="The sampled clip, for TAE Decode or VAE Decode.")],
        )

    @classmethod
    def execute(
        cls, model: Any, positive: Any, latent: dict[str, Any], seed: int, steps: int, cfg: float,
        schedule: str = times.SCHEDULES[0], solver: str = solvers.SOLVERS[0],
        temperature: float = convert.USUAL_TEMPERATURE, denoise: float = 1.0, negative: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """Sample; what else the latent holds, such as its mask and length in frames, travels on with it."""
        samples = latent["samples"]
        if denoise > 0.0:
            samples = host.sample(
                model, positive, negative, latent,
                seed=seed, steps=steps, guidance_scale=cfg, schedule=schedule, solver=solver,
                temperature=temperature, denoise=denoise,
            )  # fmt: skip
        kept = {name: value for name, value in latent.items() if name not in convert.EMPTY_RATIOS}
        return io.NodeOutput({**kept, "samples": samples})


class TAEDecode(io.ComfyNode):
    """LATENT -> IMAGE frames, window by window."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenTAEDecode",
            display_name="TAE Decode (Movie Gen)",
            category=CATEGORY,
            description="Decodes a clip in overlapping windows of frames, so that long clips need little memory.",
            search_aliases=[*ALIASES, "vae decode", "tiled decode", "latent to video"],
            inputs=[
                io.Latent.Input("samples", tooltip="The clip to decode."),
                io.Vae.Input("vae", tooltip="Autoencoder from Load Temporal Autoencoder."),
                io.Int.Input("window", default=32, **WINDOW, tooltip="Frames decoded at once. More needs more memory."),
                io.Int.Input(
                    "overlap",
                    default=16,
                    min=0,
                    max=128,
                    step=8,
                    advanced=True,
                    tooltip="Frames that neighbouring windows share and blend; less than window.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The frames, for Create Video. Clips of a batch follow each other.")],
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], vae: Any, window: int = 32, overlap: int = 16) -> io.NodeOutput:
        """Decode into one buffer; frames that only fill the last latent are dropped."""
        if overlap >= window:
            raise ConfigError(f"overlap {overlap} is not less than window {window}; use at most {window - 8}")
        clip = convert.check_clip_latent(samples["samples"])
        num_frames = convert.shown_frames(samples) or decoded_frames(clip.shape[2])
        progress, frames, done = host.Progress(num_frames), None, 0
        for pixels in host.decode(vae, clip, num_frames, window, overlap):
            images = convert.to_images(pixels).unflatten(0, (clip.shape[0], -1))
            if frames is None:
                frames = images.new_empty(clip.shape[0], num_frames, *images.shape[2:])
            frames[:, done : done + images.shape[1]] = images
            done += images.shape[1]
            progress(done)
        return io.NodeOutput(frames.flatten(0, 1))


class TAEEncode(io.ComfyNode):
    """IMAGE frames -> LATENT."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenTAEEncode",
            display_name="TAE Encode (Movie Gen)",
            category=CATEGORY,
            description="Encodes frames as one clip. Frames are cropped around the centre to multiples of 16.",
            search_aliases=[*ALIASES, "vae encode", "video to latent"],
            inputs=[
                io.Image.Input("pixels", tooltip="Frames of one clip; one frame is a picture."),
                io.Vae.Input("vae", tooltip="Autoencoder from Load Temporal Autoencoder."),
                io.Int.Input("window", default=32, **WINDOW, tooltip="Frames encoded at once. More needs more memory."),
            ],
            outputs=[io.Latent.Output(tooltip="The clip as latent, unit variance.")],
        )

    @classmethod
    def execute(cls, pixels: Any, vae: Any, window: int = 32) -> io.NodeOutput:
        """Encode; the length in frames travels with the latent."""
        return io.NodeOutput(convert.latent(host.encode(vae, convert.from_images(pixels), window), pixels.shape[0]))
