"""The seam between nodes and host: real ComfyUI objects inside ComfyUI, thin handles anywhere else.

Both sides offer the same names; `host` is the one in charge.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("comfy") and importlib.util.find_spec("folder_paths"):
    from . import comfy as host
else:
    from . import standalone as host

__all__ = ["host"]
