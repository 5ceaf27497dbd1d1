"""Runs ComfyUI workflow files where no ComfyUI is installed."""
