"""Files that appear whole or not at all, and how MP4 files are written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files
from ..errors import MediaError

# Of FFmpeg's MP4 writer. By itself it drops every tag that it does not know, and the workflow with it, and says in
# thousandths of a second where a sound ends, up to 48 samples away.
MP4_OPTIONS = {"movflags": "use_metadata_tags+faststart", "movie_timescale": "48000"}


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """`files.replacing` for media: the temporary file is there at once, so that a folder that takes none is told before
    the work, and OSError becomes a MediaError that says what to do.
    """
    try:
        with files.replacing(Path(path), ending=Path(path).suffix) as temporary:
            temporary.touch()
            yield temporary
    except OSError as error:
        raise write_error(Path(path), error) from error


def write_error(path: Path, error: OSError) -> MediaError:
    """The one-line MediaError for a failed write to `path`."""
    if error.errno == errno.ENOSPC:
        return MediaError(f"{path} was not written: the disk is full; free some space or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MediaError(f"{path} was not written: the folder is not writable; choose another one")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return MediaError(f"{path} was not written: a folder or file of that name is in the way; choose another name")
    return MediaError(f"{path} was not written: {error.strerror or error}")


def existing(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is there; MediaError otherwise."""
    source = Path(path)
    if not source.is_file():
        raise MediaError(f"{source} does not exist or is a folder; check the name")
    return source


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A film or sound to read; what goes wrong while it is opened is told as such, what goes wrong later is not."""
    import av

    with codec_errors(path, reading=True):
        # Tags of old cameras and editors are often in another code than UTF-8.
        container = av.open(address(path), metadata_errors="replace")
    with container:
        yield container


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """`opened`, for blocks that only read: whatever goes wrong in them is told as an error of reading."""
    with codec_errors(path, reading=True), opened(path) as container:
        yield container


def address(path: Path) -> str:
    """How FFmpeg is told a file: without its protocol a colon in the name, as of 12:31.mp4, would name another one."""
    return f"file:{path}"


def known_streams(container: Any) -> list[Any]:
    """The streams of pictures and sound of an open file whose codec FFmpeg knows."""
    return [one for one in container.streams if one.type in ("video", "audio") and one.codec_context is not None]


def first_sound(container: Any) -> Any | None:
    """The first sound track of an open file that FFmpeg knows; None for a silent one."""
    return next((stream for stream in known_streams(container) if stream.type == "audio"), None)


def packets_of(container: Any, streams: Any, path: Path) -> Iterator[Any]:
    """Packets of streams of an open file, whose errors are told as those of reading it."""
    with codec_errors(path, reading=True):
        yield from container.demux(streams)


@contextlib.contextmanager
def codec_errors(path: Path, reading: bool = False) -> Iterator[None]:
    """Turns the codec library's errors into one line, a MediaError."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if reading:
            raise MediaError(
                f"{path} cannot be read ({error.strerror}); it may be damaged or cut off: try another file"
            ) from error
        raise write_error(path, OSError(error.errno, error.strerror)) from error
