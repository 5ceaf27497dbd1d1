"""Sizes of the temporal autoencoder. The paper gives 8 x 8 x 8 and 16 channels; the rest is as noted."""

from .model import TAEConfig

# Latent Diffusion's widths, blocks, norms and attention in the middle alone; which levels hold the temporal strides is
# not stated, so all three do (assumptions).
FULL = TAEConfig(channels=(128, 256, 512, 512))
# Sized for a CPU: pixels are folded 4 x 4 first, and only the first level runs at that resolution and full rate. The
# sub-pixel steps up, the head's network and the linear path are not the paper's.
NANO = TAEConfig(
    channels=(48, 96, 128, 160),
    spatial_strides=(2, 1, 1),
    stem_fold=4,
    encoder_blocks=(1, 1, 1, 1),
    decoder_blocks=(1, 1, 1, 1),
    norm_groups=8,
    subpixel=True,
    head_mlp=8,
    linear_path=True,
)

PRESETS = {"nano": NANO, "full": FULL}
