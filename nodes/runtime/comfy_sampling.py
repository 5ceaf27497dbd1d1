"""What sampling has in common for video and sound in ComfyUI: a straight flow, guidance, our solver, progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.utils
import torch
from comfy_execution.utils import get_executing_context
from torch import Tensor

from moviegen_core.errors import BackendError
from moviegen_core.flow import solver as solvers

from .. import convert
from .comfy_model import MovieGenModel

ZEROED = ("pooled_output", "conditioning_lyrics", "conditioning_scale")  # beside the text, as core's Zero Out does
PREVIEW_PIXELS = 512
TELL_EVERY = 0.5  # s between two texts below a node


def check_flow(model: Any) -> None:
    """BackendError for a MODEL that does not go straight from noise to data."""
    if not isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST):
        raise BackendError(
            "this MODEL does not go straight from noise to data, as our schedule and solver need it; connect a "
            "flow-matching model, or sample it with KSampler"
        )


def is_ours(model: Any) -> bool:
    """Whether a MODEL is a transformer of Movie Gen."""
    return isinstance(model.model, MovieGenModel)


def null_condition(model: Any, positive: list[Any]) -> list[Any]:
    """What guidance leads away from if nothing is said: no token for our models, zeroed words for all others.

    Others may need what else `positive` holds, such as reference pictures.
    """
    if is_ours(model):
        return [[torch.zeros_like(positive[0][0])[:, :1], {}]]
    null = []
    for text, values in positive:
        zeros = {key: torch.zeros_like(values[key]) for key in ZEROED if values.get(key) is not None}
        null.append([torch.zeros_like(text), {**values, **zeros}])
    return null


def along_the_flow(solver: str) -> Callable[..., Tensor]:
    """Our solver as a k-diffusion sampler function."""

    def run(
        model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, callback: Any = None, **unused: Any
    ) -> Tensor:
        def velocity(sample: Tensor, time: Tensor) -> Tensor:
            sigma = convert.sigmas(time)
            denoised = model(sample, sigma, **(extra_args or {}))
            return (denoised - sample) / sigma.reshape(-1, *[1] * (sample.ndim - 1))

        def on_step(step: int, steps: int, estimate: Tensor) -> None:
            if callback is not None:
                callback({"i": step - 1, "denoised": estimate, "x": x, "sigma": sigmas[step - 1]})

        return solvers.integrate(velocity, x, convert.times(sigmas), solver, on_step)

    return run


class Progress:
    """ComfyUI's progress bar; it raises when the user cancels."""

    def __init__(self, total: int) -> None:
        self.bar, self.total = comfy.utils.ProgressBar(total), total
        self.started = self.told = time.monotonic()

    def __call__(self, value: int, picture: Any = None) -> None:
        """Say that `value` of the total is done; `picture` is a PIL image."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        shown = None if picture is None else ("JPEG", picture, PREVIEW_PIXELS)
        self.bar.update_absolute(value, preview=shown)
        now = time.monotonic()
        if value >= self.total or now - self.told >= TELL_EVERY:
            self.told = now
            _tell(progress_words(value, self.total, now - self.started))


def progress_words(value: float, total: float, seconds: float) -> str:
    """What stands below a node that works: how far it is, and how long it still takes, or took."""
    if value >= total:
        return f"{value:g} of {total:g} in {seconds:.0f} s"
    left = f", {seconds * (total - value) / value:.0f} s left" if value else ""
    return f"{value:g} of {total:g}{left}"


def _tell(text: str) -> None:
    # Absent where nodes run without ComfyUI's server, as in scripts and tests.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id)
