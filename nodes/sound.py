"""Sound nodes of Movie Gen's own models: the codec and empty latents."""

from __future__ import annotations

from typing import Any

import torch

from moviegen_core.media.timeline import clip_samples
from moviegen_core.shapes import SOUND_SAMPLE_RATE, sound_latent_frames

from .runtime import host
from .sockets import io
from .sound_tools import ALIASES, CATEGORY, clip_seconds

LATENT_CHANNELS = 128


class SoundVAELoader(io.ComfyNode):
    """Sound codec -> VAE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenSoundVAELoader",
            display_name="Load DAC-VAE (Movie Gen)",
            category="MovieGen/loaders",
            description="Loads the codec between sound and latents: 25 latent frames a second of 48 kHz mono sound.",
            search_aliases=[*ALIASES, "dac", "dacvae", "audio vae", "audio codec", "load vae"],
            inputs=[
                io.Combo.Input(
                    "vae_name",
                    options=host.choices("audio_codec"),
                    tooltip="The nano codec, or a converted safetensors file in ComfyUI's vae folder.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", "fp32", "bf16"],
                    default="auto",
                    advanced=True,
                    tooltip="Precision of the weights. auto is fp32, which sound needs.",
                ),
            ],
            outputs=[io.Vae.Output(tooltip="The codec; VAE Encode Audio and VAE Decode Audio work on it.")],
        )

    @classmethod
    def execute(cls, vae_name: str, dtype: str = "auto") -> io.NodeOutput:
        """Load the chosen file."""
        return io.NodeOutput(host.load_sound_vae(host.locate("audio_codec", vae_name), dtype))


class EmptySoundLatent(io.ComfyNode):
    """Length of the sound to be made -> LATENT."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenEmptySoundLatent",
            display_name="Empty Sound Latent (Movie Gen)",
            category=CATEGORY,
            description="Length of the sound to be made: that of a video, of frames at their fps, or seconds.",
            search_aliases=[*ALIASES, "empty latent audio", "sound length", "duration"],
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The video whose length it gets. Any frame rate."),
                io.Image.Input("images", optional=True, tooltip="Or frames, whose length is their number over fps."),
                io.Float.Input(
                    "fps", default=24.0, min=0.0, max=1000.0, step=0.001, tooltip="Frames a second of the images."
                ),
                io.Float.Input(
                    "seconds",
                    default=10.0,
                    min=0.01,
                    max=3600.0,
                    step=0.1,
                    tooltip="Length, when neither video nor images are connected.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Sounds made at once."),
            ],
            outputs=[io.Latent.Output(tooltip="An empty latent of that length.")],
        )

    @classmethod
    def execute(
        cls, video: Any = None, images: Any = None, fps: float = 24.0, seconds: float = 10.0, batch_size: int = 1
    ) -> io.NodeOutput:
        """Zeros that cover the clip; the last latent frame may reach beyond it."""
        samples = clip_samples(clip_seconds(video, images, fps, seconds), SOUND_SAMPLE_RATE)
        empty = torch.zeros(batch_size, LATENT_CHANNELS, sound_latent_frames(samples))
        return io.NodeOutput({"samples": empty, "type": "audio"})
