"""Tools for finished clips of any model: colours, joins, and decoding straight into a film file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from moviegen_core.media import colour, join
from moviegen_core.media.movie import write_movie
from moviegen_core.media.timeline import exact_fps
from moviegen_core.media.upright import refuse_hdr
from moviegen_core.ops.windows import CURVES

from . import convert
from .runtime import host
from .runtime.media import single, whole_file
from .sockets import InputImpl, io

CATEGORY = "MovieGen/tools"
ALIASES = ["movie gen", "moviegen"]
WINDOW = 8  # frames handed to the encoder at a time
CONVERTED = 2  # frames of them that are turned into bytes at a time
CRF = {
    "default": 16.0,
    "min": 0.0,
    "max": 51.0,
    "step": 1.0,
    "advanced": True,
    "tooltip": "Quality of the file: 16 looks lossless, 51 is worst. 0 adds no loss to 8-bit 4:2:0, and some players "
    "refuse it.",
}


class AnchorColour(io.ComfyNode):
    """IMAGE frames whose colours follow a reference, stable over time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenAnchorColour",
            display_name="Anchor Colour (Movie Gen)",
            category=CATEGORY,
            description="Draws a clip's colours towards a reference without flicker, against drift in long videos.",
            search_aliases=[*ALIASES, "color match", "colour transfer", "color drift", "match color"],
            inputs=[
                io.Image.Input("images", tooltip="Frames of the clip."),
                io.Image.Input(
                    "reference", tooltip="A picture or clip with the right colours, such as its first frame."
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=1.0, step=0.05, tooltip="0 changes nothing, 1 matches."
                ),
                io.Float.Input(
                    "smoothing",
                    default=24.0,
                    min=0.0,
                    max=1000.0,
                    step=1.0,
                    tooltip="Frames over which colours are averaged: quicker changes stay. 0: one correction for the "
                    "whole clip.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(colour.METHODS),
                    advanced=True,
                    tooltip="What is matched: mean and covariance of colours, each channel's contrast, or the tint.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The frames with anchored colours.")],
        )

    @classmethod
    def execute(
        cls, images: Tensor, reference: Tensor, strength: float, smoothing: float, method: str = colour.METHODS[0]
    ) -> io.NodeOutput:
        """One affine colour map a frame."""
        how = {"strength": strength, "smoothing": smoothing, "method": method}
        return io.NodeOutput(colour.anchor_colour(images, reference, **how, on_frames=host.Progress(2 * len(images))))


class JoinClips(io.ComfyNode):
    """Two VIDEOs -> one, with a crossfade of picture and sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenJoinClips",
            display_name="Join Clips (Movie Gen)",
            category=CATEGORY,
            description="Puts one video after another, in the first one's size and frame rate, with a crossfade.",
            search_aliases=[*ALIASES, "concatenate video", "merge videos", "crossfade", "append video", "transition"],
            inputs=[
                io.Video.Input("first", tooltip="Sets size and frame rate of the result."),
                io.Video.Input("second", tooltip="What follows, of any size, frame rate and sound."),
                io.Float.Input(
                    "crossfade",
                    default=0.5,
                    min=0.0,
                    max=60.0,
                    step=0.05,
                    tooltip="Seconds over which picture and sound change from one to the other. 0: a cut.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(join.FITS),
                    tooltip="How the second picture is made to fit the first one's size.",
                ),
                io.Combo.Input(
                    "curve",
                    options=list(CURVES),
                    advanced=True,
                    tooltip="How the pictures change: in a straight line, or in a half cosine with soft ends.",
                ),
                io.Float.Input("crf", **CRF),
            ],
            outputs=[io.Video.Output(tooltip="The joined film, a file on the disk.")],
        )

    @classmethod
    def execute(
        cls, first: Any, second: Any, crossfade: float, fit: str, curve: str = CURVES[0], crf: float = 16.0
    ) -> io.NodeOutput:
        """Stream both into one file."""
        joined = join.join_clips(as_clip(first), as_clip(second), crossfade, fit=fit, curve=curve)
        windows = _reported(joined.windows, joined.num_frames)
        return io.NodeOutput(_film(windows, joined.fps, joined.waveform, joined.sample_rate, crf))


class DecodeToVideo(io.ComfyNode):
    """LATENT and VAE -> VIDEO on the disk, in bounded memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenDecodeToVideo",
            display_name="Decode to Video (Movie Gen)",
            category=CATEGORY,
            description="Decodes a latent straight into a film file: long clips need no memory for all their frames.",
            search_aliases=[*ALIASES, "vae decode", "latent to video", "low memory decode", "stream decode"],
            inputs=[
                io.Latent.Input("samples", tooltip="The clip to decode. Clips of a batch follow each other."),
                io.Vae.Input("vae", tooltip="The model's autoencoder: Movie Gen's or any other for pictures or video."),
                io.Float.Input("fps", default=16.0, min=1.0, max=240.0, step=1.0, tooltip="Frames a second."),
                io.Audio.Input("audio", optional=True, tooltip="Sound of the film; cut to its length."),
                io.Float.Input("crf", **CRF),
            ],
            outputs=[io.Video.Output(tooltip="The film, a file on the disk, for Save Video.")],
        )

    @classmethod
    def execute(
        cls, samples: dict[str, Any], vae: Any, fps: float, audio: Any = None, crf: float = 16.0
    ) -> io.NodeOutput:
        """Decode, encode and forget, window by window."""
        waveform, rate = (None, 48000) if audio is None else single(audio)
        total, windows = host.stream_frames(vae, samples["samples"], convert.shown_frames(samples))
        return io.NodeOutput(_film(_reported(windows, total), exact_fps(fps), waveform, rate, crf))


def as_clip(video: Any) -> join.Clip:
    """VIDEO -> a clip that is read from its file where it has one, window by window."""
    source = whole_file(video)
    if source is not None:
        refuse_hdr(source)
        return join.clip_of(source)
    parts = video.get_components()
    images = parts.images
    silent = parts.audio is None or not parts.audio["waveform"].numel()
    waveform, rate = (None, 48000) if silent else single(parts.audio)
    return join.Clip(
        windows=lambda: (convert.pixels(part.to("cpu")) for part in images.split(WINDOW)),
        num_frames=len(images),
        height=images.shape[1],
        width=images.shape[2],
        fps=exact_fps(parts.frame_rate),
        waveform=waveform,
        sample_rate=rate,
    )


def _film(windows: Iterator[Tensor], fps: Any, waveform: Tensor | None, sample_rate: int, crf: float) -> Any:
    path = host.temporary_file(".mp4")
    write_movie(windows, path, fps, waveform, sample_rate, crf=crf)
    return InputImpl.VideoFromFile(str(path))


def _reported(windows: Iterator[Tensor], total: int) -> Iterator[Tensor]:
    """Windows [.., 3, t, H, W] in small pieces on the CPU, with progress; none is held while the next one is made."""
    progress, done = host.Progress(total), 0
    for window in windows:
        clip = window if window.ndim == 4 else window[0]
        del window
        for start in range(0, clip.shape[1], CONVERTED):
            yield clip[:, start : start + CONVERTED].to("cpu")
        done += clip.shape[1]
        del clip
        progress(min(done, total))
