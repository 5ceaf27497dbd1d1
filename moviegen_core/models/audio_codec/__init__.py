"""Sound codec: 48 kHz waveforms to 25 latent vectors a second and back."""
