"""Prompt nodes: text -> CONDITIONING."""

from __future__ import annotations

from moviegen_core.conditioning.text import CAMERA_MOTIONS, SHOT_TYPES, add_camera

from .runtime import host
from .sockets import io

AS_TEXT = "as in text"


class TextEncode(io.ComfyNode):
    """Prompt, frame rate and text to show -> CONDITIONING."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenTextEncode",
            display_name="Text Encode (Movie Gen)",
            category="MovieGen/conditioning",
            description="Encodes a prompt in plain English. An empty prompt is the null condition of guidance.",
            search_aliases=["movie gen", "moviegen", "prompt", "clip text encode", "fps"],
            inputs=[
                io.Clip.Input("clip", tooltip="Text encoders from Load Text Encoders (Movie Gen)."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    default="A red ball bounces on the beach on a sunny day. The camera is static.",
                    tooltip="What the video shows: thing, motion, place, camera. Quoted words are shown as text.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=120.0,
                    step=1.0,
                    tooltip="Frame rate that the model is told; use the same in Create Video. Trained: 16 and 24.",
                ),
                io.String.Input(
                    "show_text",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Words for a sign in the video. Empty: the quoted words of the prompt are used.",
                ),
                io.Combo.Input(
                    "camera",
                    options=[AS_TEXT, *CAMERA_MOTIONS, *SHOT_TYPES],
                    optional=True,
                    advanced=True,
                    tooltip="The paper's camera words, put before the prompt; a motion replaces what the text says of "
                    "the camera.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The encoded prompt, for any sampler.")],
        )

    @classmethod
    def execute(cls, clip: object, text: str, fps: float, show_text: str = "", camera: str = AS_TEXT) -> io.NodeOutput:
        """Encode the prompt."""
        text = text if camera == AS_TEXT else add_camera(text, camera)
        return io.NodeOutput(host.encode_text(clip, text, fps, show_text.strip() or None))
