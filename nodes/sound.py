"""Sound nodes of Movie Gen's own models: loaders and empty latents."""

from __future__ import annotations

from typing import Any

from moviegen_core.errors import ConfigError
from moviegen_core.media.timeline import clip_samples
from moviegen_core.pipelines.sound_request import LONGEST_SECONDS, check_samples
from moviegen_core.shapes import MAX_FPS, SOUND_SAMPLE_RATE

from .runtime import files, host
from .runtime.media import clip_seconds
from .runtime.sound_eyes import MATCH, VISION
from .sockets import FrameEncoders, io
from .sound_latent import empty_sound
from .sound_tools import ALIASES, CATEGORY


class AudioModelLoader(io.ComfyNode):
    """Sound transformer -> MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenAudioModelLoader",
            display_name="Load Movie Gen Audio Model",
            category="MovieGen/loaders",
            description="Loads a Movie Gen sound transformer. Stock samplers, LoRA loaders and patches work on it.",
            search_aliases=[
                *ALIASES,
                "video to audio",
                "foley",
                "text to audio",
                "load diffusion model",
                "unet loader",
            ],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=host.choices("audio"),
                    tooltip="The shipped model, or a safetensors file in ComfyUI's diffusion_models folder.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=["auto", "fp32", "bf16", "fp8_e4m3fn"],
                    default="auto",
                    advanced=True,
                    tooltip="Precision of the weights. auto takes what suits the device; fp8 halves memory in ComfyUI.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The sound transformer.")],
        )

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str = "auto") -> io.NodeOutput:
        """Load the chosen file."""
        return io.NodeOutput(host.load_audio_model(host.locate("audio", model_name), weight_dtype))


class FrameEncodersLoader(io.ComfyNode):
    """Vision tower and sound match -> what looks at a video to hear it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenFrameEncodersLoader",
            display_name="Load Frame Encoders (Movie Gen)",
            category="MovieGen/loaders",
            description="Loads the networks that watch a video to make sound for it: what is there, and when it moves.",
            search_aliases=[*ALIASES, "clip vision", "metaclip", "video features", "imagebind", "onset"],
            inputs=[
                io.Combo.Input(
                    "vision",
                    options=[*host.choices(VISION), files.NONE],
                    tooltip="Long-prompt MetaCLIP tower: sees what there is. Shipped, a file of ComfyUI's clip_vision "
                    "folder, or none.",
                ),
                io.Combo.Input(
                    "motion",
                    options=[*host.choices(MATCH), files.NONE],
                    tooltip="Sound match: sees what moves and hits, and ranks candidates. Shipped, a file of ComfyUI's "
                    "audio_encoders folder, or none for models that read the tower alone.",
                ),
            ],
            outputs=[
                FrameEncoders.Output(
                    display_name="frame_encoders", tooltip="The encoders, for Video to Sound and Sound Sampler."
                )
            ],
        )

    @classmethod
    def execute(cls, vision: str, motion: str) -> io.NodeOutput:
        """Load the chosen files; ConfigError where there are none."""
        if vision == motion == files.NONE:
            raise ConfigError("vision and motion are both none; choose at least one frame encoder")
        chosen = {VISION: vision, MATCH: motion}
        paths = {part: host.locate(part, choice) for part, choice in chosen.items() if choice != files.NONE}
        return io.NodeOutput(host.load_frame_encoders(paths))


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
                    "fps", default=16.0, min=0.001, max=MAX_FPS, step=0.001, tooltip="Frames a second of the images."
                ),
                io.Float.Input(
                    "seconds",
                    default=10.0,
                    min=0.01,
                    max=LONGEST_SECONDS,
                    step=0.1,
                    tooltip="Length, when neither video nor images are connected.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Sounds made at once."),
            ],
            outputs=[io.Latent.Output(tooltip="An empty latent of that length.")],
        )

    @classmethod
    def execute(
        cls, video: Any = None, images: Any = None, fps: float = 16.0, seconds: float = 10.0, batch_size: int = 1
    ) -> io.NodeOutput:
        """Zeros that cover the clip; the last latent frame may reach beyond it."""
        samples = clip_samples(clip_seconds(video, images, fps, seconds), SOUND_SAMPLE_RATE)
        return io.NodeOutput(empty_sound(check_samples(samples), batch_size))
