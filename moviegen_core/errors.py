"""Errors a user can act on: each message says what was given, what is needed, what to do."""


class MovieGenError(Exception):
    """Base of every error that is the input's or the machine's fault, not the code's."""


class ConfigError(MovieGenError):
    """A configuration or argument has an unknown key or an impossible value."""


class ShapeError(MovieGenError):
    """A tensor, clip size or length does not fit the network or the file."""


class CheckpointError(MovieGenError):
    """A weight file is missing, damaged, unsafe or of another network."""


class MediaError(MovieGenError):
    """A picture, sound or video file cannot be read or written."""


class BackendError(MovieGenError):
    """A requested device, dtype or kernel cannot be used on this machine."""
