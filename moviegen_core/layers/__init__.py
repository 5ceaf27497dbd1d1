"""Layers that two networks or more use."""
