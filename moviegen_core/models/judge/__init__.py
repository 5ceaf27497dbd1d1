"""Clip classifier that judges generated toybox clips; trained on pictures alone, it shares no code with the renderer."""
