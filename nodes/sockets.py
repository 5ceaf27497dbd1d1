"""The one place that names ComfyUI's node API, so that a pinned version can be swapped in."""

from __future__ import annotations

from comfy_api.latest import ComfyAPI, ComfyExtension, InputImpl, io

__all__ = ["ComfyAPI", "ComfyExtension", "InputImpl", "io"]
