"""Size of the sound match that is trained and shipped here."""

from .model import SoundMatchConfig

# A stride of a foot, on the smaller of the toybox's pictures, is a pixel at 32 x 32.
NANO = SoundMatchConfig(image_size=64, first_stride=4)

PRESETS = {"nano": NANO}
