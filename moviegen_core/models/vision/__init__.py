"""Frame encoders: the vision tower that is trained beside the MetaCLIP text tower."""

from .model import VisionConfig, build_network

__all__ = ["VisionConfig", "build_network"]
