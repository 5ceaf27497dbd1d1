"""Thin ComfyUI nodes over moviegen_core; the only folder that knows ComfyUI."""
