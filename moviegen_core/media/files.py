"""Files that appear whole or not at all, and how MP4 files are written."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import MediaError

# Of FFmpeg's MP4 writer. By itself it drops every tag that it does not know, and the workflow with it, and says in
# thousandths of a second where a sound ends, up to 48 samples away.
MP4_OPTIONS = {"movflags": "use_metadata_tags+faststart", "movie_timescale": "48000"}


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes the final name only when the block ends without an exception.

    Nothing is left after an error, a cancel or a full disk; OSError becomes a MediaError that says what to do.
    """
    final = Path(path)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{final.stem[:40]}.", suffix=f".part{final.suffix}", dir=final.parent)
        os.close(handle)
    except OSError as error:
        raise write_error(final, error) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; the result gets the permissions that open() would have given.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, final)
    except OSError as error:
        raise write_error(final, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


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
def codec_errors(path: Path, reading: bool = False) -> Iterator[None]:
    """Turns the codec library's errors into one line."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if reading:
            raise MediaError(
                f"{path} cannot be read ({error.strerror}); it may be damaged or cut off: try another file"
            ) from error
        raise write_error(path, OSError(error.errno, error.strerror)) from error
