"""How far a node is, without ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comfy_api.latest import ComfyAPISync


class Progress:
    """Progress of the node that runs now; the host raises from it to cancel."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.report: Callable[..., Any] = ComfyAPISync().execution.set_progress

    def __call__(self, value: int, preview: Any = None) -> None:
        """Say that `value` of `total` is done; `preview` is a PIL image."""
        self.report(value, self.total, preview_image=preview)
