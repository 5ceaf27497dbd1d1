"""Classifier of generated toybox clips; it learns from pictures alone and shares no code with the renderer."""
