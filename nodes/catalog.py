"""The list of nodes."""

from __future__ import annotations

from . import loaders, text, video
from .sockets import ComfyExtension, io

NODES: list[type[io.ComfyNode]] = [
    loaders.ModelLoader,
    loaders.TextEncoderLoader,
    loaders.TAELoader,
    text.TextEncode,
    video.EmptyVideoLatent,
    video.LinearQuadraticSigmas,
    video.VideoSampler,
    video.TAEDecode,
    video.TAEEncode,
]


class MovieGenExtension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node of the pack."""
        return NODES
