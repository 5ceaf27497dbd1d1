"""The few of ComfyUI's own nodes that our workflows use: same ids, inputs, widget order, so one file runs in both."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import io, session, ui
from .video import VideoCodec, VideoComponents, VideoContainer, VideoFromComponents, VideoFromFile, refuse_unwritable

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
# What moviegen_core.media.formats reads; the host loads the core only where a node works.
FILMS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".ts", ".m2ts", ".mts", ".m2t", ".avi"})
SOUNDS = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac"})
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, struct.error)  # what PIL raises at damaged pictures
ANY_SIZE = (64, 64)  # rows, columns of the mask of a picture without transparency, as ComfyUI gives it


def _listed(endings: frozenset[str]) -> list[str]:
    folder = session.current().input_directory
    if not folder.is_dir():
        return []
    return sorted(file.name for file in folder.iterdir() if file.suffix.lower() in endings and file.is_file())


def _found(name: str, what: str) -> bool | str:
    path = session.current().input_file(name)
    return True if path.is_file() else f"there is no {what} {path}; put the file there or give its whole path"


def _fingerprint(name: str) -> str:
    digest = hashlib.sha256()
    with session.current().input_file(name).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class LoadImage(io.ComfyNode):
    """A picture file -> IMAGE [B, H, W, 3] in 0..1 and MASK [B, H, W], 1 where it is transparent."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadImage",
            display_name="Load Image",
            category="image",
            inputs=[io.Combo.Input("image", options=_listed(PICTURES), upload=io.UploadType.image)],
            outputs=[io.Image.Output(), io.Mask.Output()],
        )

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        return _found(image, "picture")

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        return _fingerprint(image)

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        import torch

        pictures: list[torch.Tensor] = []
        masks: list[torch.Tensor] = []
        for levels in _pictures(session.current().input_file(image)):
            pixels = torch.from_numpy(levels)
            if pictures and pictures[0].shape[:2] != pixels.shape[:2]:
                continue
            pictures.append(pixels[..., :3])
            masks.append(1 - pixels[..., 3] if pixels.shape[-1] == 4 else torch.zeros(ANY_SIZE))
        return io.NodeOutput(torch.stack(pictures), torch.stack(masks))


def _pictures(path: Path) -> Iterator[Any]:
    """Every frame of a picture file, upright, as `_levels` gives it; MediaError when the file is damaged."""
    from PIL import Image, ImageOps, ImageSequence

    from moviegen_core.errors import MediaError

    try:
        with Image.open(path) as file:
            for frame in ImageSequence.Iterator(file):
                yield _levels(ImageOps.exif_transpose(frame))
    except Image.DecompressionBombError:
        raise MediaError(f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels; make it smaller") from None
    except UNREADABLE as error:
        raise MediaError(
            f"{path} cannot be read as a picture; it may be empty, damaged or cut off: try another file"
        ) from error


def _levels(picture: Any) -> Any:
    """PIL picture -> array [H, W, 3] in 0..1, or [H, W, 4] where it may be transparent."""
    import numpy as np

    if not picture.mode.startswith("I"):
        return np.asarray(picture.convert("RGBA" if picture.has_transparency_data else "RGB"), np.float32) / 255
    # PIL's own conversion cuts grey of 16 bits off at 255.
    grey = np.asarray(picture).astype(np.float32)
    channels = [(grey / 65535).clip(0, 1)] * 3
    if picture.has_transparency_data:
        channels.append((grey != picture.info["transparency"]).astype(np.float32))
    return np.stack(channels, axis=-1)


class SaveImage(io.ComfyNode):
    """IMAGE -> PNG files in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveImage",
            display_name="Save Image",
            category="image",
            inputs=[io.Image.Input("images"), io.String.Input("filename_prefix", default="ComfyUI")],
            outputs=[io.Image.Output(display_name="images")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Any, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.ImageSaveHelper.get_save_images_ui(images, filename_prefix, cls))


class PreviewImage(io.ComfyNode):
    """IMAGE -> PNG files in the temporary folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewImage",
            display_name="Preview Image",
            category="image",
            inputs=[io.Image.Input("images")],
            outputs=[io.Image.Output(display_name="images")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Any) -> io.NodeOutput:
        return io.NodeOutput(images, ui=ui.PreviewImage(images, cls=cls))


class LoadVideo(io.ComfyNode):
    """A film file -> VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadVideo",
            display_name="Load Video",
            category="video",
            inputs=[io.Combo.Input("file", options=_listed(FILMS), upload=io.UploadType.video)],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return _found(file, "film")

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return _fingerprint(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(VideoFromFile(session.current().input_file(file)))


class CreateVideo(io.ComfyNode):
    """IMAGE frames, fps and perhaps AUDIO -> VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CreateVideo",
            display_name="Create Video",
            category="video",
            inputs=[
                io.Image.Input("images"),
                io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0),
                io.Audio.Input("audio", optional=True),
                io.Int.Input("bit_depth", default=8, min=8, max=10, step=2, optional=True),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def validate_inputs(cls, bit_depth: int | None = None) -> bool | str:
        refuse_unwritable(bit_depth=bit_depth)
        return True

    @classmethod
    def execute(cls, images: Any, fps: float, audio: Any = None, bit_depth: int = 8) -> io.NodeOutput:
        from moviegen_core.media.timeline import exact_fps

        return io.NodeOutput(VideoFromComponents(VideoComponents(images, exact_fps(fps), audio), bit_depth))


class GetVideoComponents(io.ComfyNode):
    """VIDEO -> its frames, sound, fps, bit depth and colour space."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GetVideoComponents",
            display_name="Get Video Components",
            category="video",
            inputs=[io.Video.Input("video")],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="bit_depth"),
                io.Combo.Output(display_name="color_space"),
            ],
        )

    @classmethod
    def execute(cls, video: Any) -> io.NodeOutput:
        parts = video.get_components()
        fps = float(parts.frame_rate)
        return io.NodeOutput(parts.images, parts.audio, fps, video.get_bit_depth(), video.get_color_space())


def _codec(id: str = "codec", *, codecs: tuple[str, ...] = ("auto", "h264", "av1"), optional: bool = False) -> Any:
    crf = {"h264": (23.0, 51.0), "av1": (30.0, 63.0)}
    options = []
    for codec in codecs:
        if codec == "auto":
            options.append(io.DynamicCombo.Option(codec, []))
            continue
        quality = io.Float.Input("crf", default=crf[codec][0], min=0.0, max=crf[codec][1], step=1.0)
        colours = io.Combo.Input("color_space", options=["auto", "sRGB", "HDR", "HDR PQ"], default="auto")
        encodings = [
            io.DynamicCombo.Option("auto", []),
            io.DynamicCombo.Option("re-encode", [quality, colours]),
        ]
        options.append(
            io.DynamicCombo.Option(codec, [io.DynamicCombo.Input("encoding", options=encodings, optional=True)])
        )
    # Of the two that Save Video has, editors show the one inside the format only.
    return io.DynamicCombo.Input(
        id, options=options, optional=optional, extra_dict={"hidden": True} if optional else {}
    )


class SaveVideo(io.ComfyNode):
    """VIDEO -> a film file in the output folder that carries its workflow."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        formats = [io.DynamicCombo.Option(name, [_codec()]) for name in ("auto", "mp4", "mkv")]
        formats.append(io.DynamicCombo.Option("webm", [_codec(codecs=("auto", "av1"))]))
        return io.Schema(
            node_id="SaveVideo",
            display_name="Save Video",
            category="video",
            inputs=[
                io.Video.Input("video"),
                io.String.Input("filename_prefix", default="video/ComfyUI"),
                io.DynamicCombo.Input("format", options=formats),
                _codec(optional=True),
            ],
            outputs=[io.Video.Output("video")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, format: Any, codec: Any = None) -> bool | str:
        kind, coding, options = _asked(format, codec)
        refuse_unwritable(kind, coding, **options)
        return True

    @classmethod
    def execute(cls, video: Any, filename_prefix: str, format: Any, codec: Any = None) -> io.NodeOutput:
        kind, coding, options = _asked(format, codec)
        width, height = video.get_dimensions()
        ending = f"_.{VideoContainer.get_extension(kind)}"
        with session.current().new_files(filename_prefix, ending, width=width, height=height) as [path]:
            video.save_to(path, format=kind, codec=coding, metadata=ui.tags_of(cls) or None, **options)
        return io.NodeOutput(video, ui=ui.PreviewVideo([ui.saved(path)]))


def _asked(format: Any, codec: Any) -> tuple[VideoContainer, VideoCodec, dict[str, Any]]:
    """What Save Video's choices ask of `save_to`: format, codec, and `crf` and `color_space` where they are set."""
    chosen = format.get("codec") or codec or {"codec": "auto"}
    if chosen["codec"] == "auto" and codec is not None:
        # Files of older ComfyUI versions keep the codec beside the format, not inside it.
        chosen = codec
    encoding = chosen.get("encoding") or {}
    options = {name: encoding[name] for name in ("crf", "color_space") if encoding.get(name) not in (None, "auto")}
    # Before the run, a choice that comes from a link is None.
    return VideoContainer(format["format"] or "auto"), VideoCodec(chosen["codec"] or "auto"), options


class LoadAudio(io.ComfyNode):
    """A sound file, or the sound of a film -> AUDIO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LoadAudio",
            display_name="Load Audio",
            category="audio",
            inputs=[io.Combo.Input("audio", options=_listed(SOUNDS | FILMS), upload=io.UploadType.audio)],
            outputs=[io.Audio.Output()],
        )

    @classmethod
    def validate_inputs(cls, audio: str) -> bool | str:
        return _found(audio, "sound")

    @classmethod
    def fingerprint_inputs(cls, audio: str) -> str:
        return _fingerprint(audio)

    @classmethod
    def execute(cls, audio: str) -> io.NodeOutput:
        from moviegen_core.media.sound import read_sound

        waveform, sample_rate = read_sound(session.current().input_file(audio))
        return io.NodeOutput({"waveform": waveform.unsqueeze(0), "sample_rate": sample_rate})


class SaveAudio(io.ComfyNode):
    """AUDIO -> FLAC files in the output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SaveAudio",
            display_name="Save Audio (FLAC)",
            category="audio",
            inputs=[io.Audio.Input("audio"), io.String.Input("filename_prefix", default="audio/ComfyUI")],
            outputs=[io.Audio.Output("audio")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: Any, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput(audio, ui=ui.AudioSaveHelper.get_save_audio_ui(_sounding(audio), filename_prefix, cls))


class PreviewAudio(io.ComfyNode):
    """AUDIO -> FLAC files in the temporary folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAudio",
            display_name="Preview Audio",
            category="audio",
            inputs=[io.Audio.Input("audio")],
            outputs=[io.Audio.Output("audio")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, audio: Any) -> io.NodeOutput:
        return io.NodeOutput(audio, ui=ui.PreviewAudio(_sounding(audio), cls=cls))


def _sounding(audio: Any) -> Any:
    if audio is None:
        raise ValueError("there is no sound: the film it comes from may be silent; connect another AUDIO")
    return audio


STOCK_NODES: list[type[io.ComfyNode]] = [
    LoadImage,
    SaveImage,
    PreviewImage,
    LoadVideo,
    CreateVideo,
    GetVideoComponents,
    SaveVideo,
    LoadAudio,
    SaveAudio,
    PreviewAudio,
]
