"""Temporal autoencoder: pixels <-> latents, 8 x smaller in time, height and width."""
