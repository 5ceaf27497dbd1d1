"""The `ui` namespace of the node API: what a node shows to its user, and helpers that save it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import session
from .io import FolderType


class SavedResult(dict[str, Any]):
    """One file: its name, subfolder and kind of folder."""

    def __init__(self, filename: str, subfolder: str, type: FolderType | str) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=FolderType(type).value)

    filename = property(lambda self: self["filename"])
    subfolder = property(lambda self: self["subfolder"])
    type = property(lambda self: FolderType(self["type"]))


class _Files:
    """Files under one key of a node's result."""

    key = "images"

    def __init__(self, results: Iterable[dict[str, Any]], is_animated: bool = False, **_: Any) -> None:
        self.results = list(results)
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        """The result as the frontend reads it."""
        return {self.key: self.results, **({"animated": (True,)} if self.is_animated else {})}


class SavedImages(_Files):
    """Pictures on the disk."""


class SavedAudios(_Files):
    """Sounds on the disk."""

    key = "audio"


class PreviewVideo(_Files):
    """Films on the disk."""

    def __init__(self, values: Iterable[dict[str, Any]], **_: Any) -> None:
        super().__init__(values, is_animated=True)


class PreviewImage(_Files):
    """Pictures IMAGE [B, H, W, C], saved into the temporary folder."""

    def __init__(self, image: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        super().__init__(ImageSaveHelper.save_images(image, "preview", FolderType.temp, cls), is_animated=animated)


class PreviewMask(PreviewImage):
    """MASK [B, H, W] as grey pictures."""

    def __init__(self, mask: Any, animated: bool = False, cls: Any = None, **_: Any) -> None:
        grey = mask.reshape(-1, mask.shape[-2], mask.shape[-1], 1).expand(-1, -1, -1, 3)
        super().__init__(grey, animated, cls)


class PreviewAudio(SavedAudios):
    """A sound AUDIO, saved into the temporary folder."""

    def __init__(self, audio: Any, cls: Any = None, **_: Any) -> None:
        super().__init__(AudioSaveHelper.save_audio(audio, "preview", FolderType.temp, cls))


class PreviewText:
    """Text under the node."""

    def __init__(self, value: str, **_: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        """The result as the frontend reads it."""
        return {"text": (self.value,)}


def saved(path: Path, folder: FolderType | str = FolderType.output) -> SavedResult:
    """Notes a file that a node has written, and gives its SavedResult."""
    active = session.current()
    kind = FolderType(folder)
    root = active.temp_directory if kind is FolderType.temp else active.output_directory
    if kind is FolderType.output:
        active.written.append(path)
    subfolder = path.parent.relative_to(root).as_posix()
    return SavedResult(path.name, "" if subfolder == "." else subfolder, kind)


def tags_of(cls: Any) -> dict[str, Any]:
    """The prompt and the workflow of a node's run, as a file's tags."""
    hidden = getattr(cls, "hidden", None)
    if hidden is None:
        return {}
    tags = {"prompt": hidden.prompt} if hidden.prompt is not None else {}
    return {**tags, **(hidden.extra_pnginfo or {})}


class ImageSaveHelper:
    """Saves IMAGE batches as PNG files that carry their workflow."""

    @staticmethod
    def save_images(
        images: Any, filename_prefix: str, folder_type: FolderType, cls: Any = None, compress_level: int = 4
    ) -> list[SavedResult]:
        """IMAGE [B, H, W, C] in 0..1 -> one PNG each; all of them appear, or none."""
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        from moviegen_core.media.files import replacing

        tags = PngInfo()
        for key, value in tags_of(cls).items():
            tags.add_text(key, json.dumps(value))
        levels = images.detach().float().cpu().nan_to_num(0.0).mul(255).clamp(0, 255).byte().numpy()
        height, width = levels.shape[1:3]
        files = session.current().new_files(
            filename_prefix, "_.png", folder=folder_type.value, width=width, height=height, count=len(levels)
        )
        with files as paths, ExitStack() as stack:
            for path, picture in zip(paths, levels, strict=True):
                temporary = stack.enter_context(replacing(path))
                Image.fromarray(picture).save(temporary, "PNG", pnginfo=tags, compress_level=compress_level)
        return [saved(path, folder_type) for path in paths]

    @staticmethod
    def get_save_images_ui(images: Any, filename_prefix: str, cls: Any, compress_level: int = 4) -> SavedImages:
        """Saves into the output folder and wraps the files for the frontend."""
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level))


class AudioSaveHelper:
    """Saves AUDIO batches as FLAC files that carry their workflow."""

    @staticmethod
    def save_audio(
        audio: Any,
        filename_prefix: str,
        folder_type: FolderType,
        cls: Any = None,
        format: str = "flac",
        quality: str = "128k",
    ) -> list[SavedResult]:
        """AUDIO {"waveform": [B, C, S], "sample_rate"} -> one file each; `quality` is of no use to FLAC."""
        from moviegen_core.media.sound import write_sound

        waveforms = audio["waveform"]
        files = session.current().new_files(
            filename_prefix, f".{format}", folder=folder_type.value, count=len(waveforms)
        )
        with files as paths:
            for path, waveform in zip(paths, waveforms, strict=True):
                write_sound(waveform, audio["sample_rate"], path, tags_of(cls))
        return [saved(path, folder_type) for path in paths]

    @staticmethod
    def get_save_audio_ui(
        audio: Any, filename_prefix: str, cls: Any, format: str = "flac", quality: str = "128k"
    ) -> SavedAudios:
        """Saves into the output folder and wraps the files for the frontend."""
        return SavedAudios(AudioSaveHelper.save_audio(audio, filename_prefix, FolderType.output, cls, format, quality))
