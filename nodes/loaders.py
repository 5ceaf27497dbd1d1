"""Loader nodes: weight files -> MODEL, CLIP, VAE."""

from __future__ import annotations

from moviegen_core.errors import ConfigError

from .runtime import files, host
from .sockets import io

CATEGORY = "MovieGen/loaders"


class ModelLoader(io.ComfyNode):
    """Video transformer -> MODEL."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenModelLoader",
            display_name="Load Movie Gen Model",
            category=CATEGORY,
            description="Loads a Movie Gen video transformer. Stock samplers, LoRA loaders and patches work on it.",
            search_aliases=["movie gen", "moviegen", "load diffusion model", "text to video", "unet loader"],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=host.choices("video"),
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
            outputs=[io.Model.Output(tooltip="The video transformer.")],
        )

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str = "auto") -> io.NodeOutput:
        """Load the chosen file."""
        return io.NodeOutput(host.load_model(host.locate("video", model_name), weight_dtype))


class TextEncoderLoader(io.ComfyNode):
    """Up to three text encoders -> CLIP."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        file = "The shipped encoder, a safetensors file in ComfyUI's text_encoders folder, or none to leave it out."
        return io.Schema(
            node_id="MovieGenTextEncoderLoader",
            display_name="Load Text Encoders (Movie Gen)",
            category=CATEGORY,
            description="Loads the encoders of a prompt: UL2 and MetaCLIP for its meaning, ByT5 for text to show.",
            search_aliases=["movie gen", "moviegen", "load clip", "ul2", "metaclip", "byt5", "t5"],
            inputs=[
                io.Combo.Input(
                    role, options=[*host.choices(role), files.NONE], tooltip=f"{name} encoder: {what}. {file}"
                )
                for role, name, what in (
                    ("ul2", "UL2", "reads the whole prompt"),
                    ("metaclip", "Long-prompt MetaCLIP", "reads the whole prompt, up to 256 tokens"),
                    ("byt5", "ByT5", "reads the quoted words that the video should show"),
                )
            ],
            outputs=[io.Clip.Output(tooltip="The text encoders; CLIP Text Encode works on them too.")],
        )

    @classmethod
    def execute(cls, ul2: str, metaclip: str, byt5: str) -> io.NodeOutput:
        """Load the chosen files; ConfigError where there are none.

        Not a matter of `validate_inputs`: hosts do not check the choices of inputs that it names.
        """
        if {ul2, metaclip, byt5} == {files.NONE}:
            raise ConfigError("ul2, metaclip and byt5 are all none; choose at least one text encoder")
        chosen = {"ul2": ul2, "metaclip": metaclip, "byt5": byt5}
        paths = {role: host.locate(role, choice) for role, choice in chosen.items() if choice != files.NONE}
        return io.NodeOutput(host.load_clip(paths))


class TAELoader(io.ComfyNode):
    """Temporal autoencoder -> VAE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenTAELoader",
            display_name="Load Temporal Autoencoder",
            category=CATEGORY,
            description="Loads the autoencoder between pixels and latents: 8 frames of 8 x 8 pixels become one latent "
            "position.",
            search_aliases=[
                "movie gen",
                "moviegen",
                "load vae",
                "load movie gen vae",
                "movie gen vae",
                "tae",
                "video vae",
            ],
            inputs=[
                io.Combo.Input(
                    "vae_name",
                    options=host.choices("tae"),
                    tooltip="The shipped autoencoder, or a safetensors file in ComfyUI's vae folder.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", "fp32", "bf16"],
                    default="auto",
                    advanced=True,
                    tooltip="Precision of the weights. auto takes what suits the device.",
                ),
            ],
            outputs=[
                io.Vae.Output(tooltip="The autoencoder; VAE Decode, tiled or not, and VAE Encode work on it too.")
            ],
        )

    @classmethod
    def execute(cls, vae_name: str, dtype: str = "auto") -> io.NodeOutput:
        """Load the chosen file."""
        return io.NodeOutput(host.load_vae(host.locate("tae", vae_name), dtype))
