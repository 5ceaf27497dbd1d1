"""Classifier of generated toybox sounds; it learns from waveforms alone and shares no code with the synthesis."""
