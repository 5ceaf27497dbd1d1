"""Size of the sound match that is trained and shipped here."""

from .model import SoundMatchConfig

NANO = SoundMatchConfig()

PRESETS = {"nano": NANO}
