"""The list of nodes."""

from __future__ import annotations

from . import (
    clips,
    latents,
    loaders,
    renames,
    sound,
    sound_conditioning,
    sound_sampling,
    sound_tools,
    text,
    video,
)
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
    sound.AudioModelLoader,
    sound.FrameEncodersLoader,
    sound.SoundVAELoader,
    sound.EmptySoundLatent,
    sound_conditioning.VideoToSound,
    sound_conditioning.ExtendSound,
    sound_conditioning.FillSound,
    sound_sampling.LongSound,
    sound_sampling.SoundSampler,
    sound_sampling.SoundDecode,
    sound_tools.SetVideoAudio,
    sound_tools.FitAudio,
    sound_tools.MixAudio,
    sound_tools.NormaliseLoudness,
    sound_tools.StereoFromMono,
    latents.PlanFrames,
    latents.TakeLatentTail,
    latents.JoinLatents,
    clips.AnchorColour,
    clips.JoinClips,
    clips.DecodeToVideo,
]


class MovieGenExtension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def on_load(self) -> None:
        """Once, before the nodes are listed."""
        await renames.register(renames.RENAMES)

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Every node of the pack."""
        return NODES
