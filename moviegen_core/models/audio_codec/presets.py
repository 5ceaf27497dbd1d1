"""Sizes of the sound codec: those of the released DAC-VAE, and one for a CPU."""

from .model import AudioCodecConfig

# facebookresearch/dacvae as used by sam-audio: 107,671,171 parameters under 317 keys. Movie Gen's own sizes are not
# stated; rate and latent size (25 Hz, 128) are the same.
FULL = AudioCodecConfig()
# The same network on the coefficients of a lapped transform, round a linear code that starts in closed form.
NANO = AudioCodecConfig(
    encoder_dim=64,
    encoder_rates=(8,),
    latent_dim=160,
    decoder_dim=160,
    decoder_rates=(8,),
    watermark_rates=(),
    weight_norm=False,
    transform=240,
    gains=24,
)

PRESETS = {"nano": NANO, "full": FULL}
