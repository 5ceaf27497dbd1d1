"""The one place that names ComfyUI's node API, so that a pinned version can be swapped in."""

from __future__ import annotations

from comfy_api.latest import ComfyAPI, ComfyExtension, InputImpl, io, ui

FrameEncoders = io.Custom("MOVIEGEN_FRAME_ENCODERS")  # what looks at a video to hear it; ComfyUI has no such socket

__all__ = ["ComfyAPI", "ComfyExtension", "FrameEncoders", "InputImpl", "io", "ui"]
