"""Tools for the latents of any video or audio model: lengths, tails and joins along time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from moviegen_core.errors import ShapeError
from moviegen_core.ops.windows import CURVES, join
from moviegen_core.shapes import LENGTH_RULES, ROUNDINGS, LengthRule, decoded_frames, plan_frames

from . import convert
from .sockets import io
from .sound_latent import LENGTH_KEY, PIECES_KEY, joined_sound, part_of_sound

CATEGORY = "MovieGen/tools"
ALIASES = ["movie gen", "moviegen"]
CUSTOM = "custom"  # a family whose rule the user gives


class PlanFrames(io.ComfyNode):
    """Seconds and fps -> a length in frames that the model takes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenPlanFrames",
            display_name="Plan Frames (Movie Gen)",
            category=CATEGORY,
            description="Turns seconds into a length that the chosen model family accepts, for its empty latent.",
            search_aliases=[*ALIASES, "seconds to frames", "video length", "duration", "frame count"],
            inputs=[
                io.Float.Input("seconds", default=5.0, min=0.01, max=3600.0, step=0.1, tooltip="Length you want."),
                io.Float.Input("fps", default=16.0, min=1.0, max=240.0, step=1.0, tooltip="Frames a second."),
                io.Combo.Input(
                    "family",
                    options=[*LENGTH_RULES, CUSTOM],
                    tooltip="Model that makes the clip. Wan takes 4n + 1 frames, LTX 8n + 1, Movie Gen 8n.",
                ),
                io.Combo.Input(
                    "rounding",
                    options=list(ROUNDINGS),
                    advanced=True,
                    tooltip="Which accepted length: the nearest, or one that is not shorter or not longer.",
                ),
                io.Int.Input(
                    "multiple",
                    default=4,
                    min=1,
                    max=256,
                    optional=True,
                    advanced=True,
                    tooltip="For the family custom: lengths are multiple * n + extra frames.",
                ),
                io.Int.Input(
                    "extra",
                    default=1,
                    min=0,
                    max=256,
                    optional=True,
                    advanced=True,
                    tooltip="For the family custom: frames beyond the multiples, such as the first one.",
                ),
            ],
            outputs=[
                io.Int.Output("length", tooltip="Frames, for the empty latent of the model."),
                io.Float.Output("fps", tooltip="Frames a second, passed on for Create Video."),
                io.Float.Output("seconds", tooltip="How long that many frames last."),
                io.Int.Output("latent_frames", tooltip="Latent frames of that length."),
            ],
        )

    @classmethod
    def execute(
        cls, seconds: float, fps: float, family: str, rounding: str = ROUNDINGS[0], multiple: int = 4, extra: int = 1
    ) -> io.NodeOutput:
        """The length and what follows from it."""
        rule = LengthRule(multiple, extra) if family == CUSTOM else LENGTH_RULES[family]
        length = plan_frames(seconds, fps, rule, rounding)
        return io.NodeOutput(length, fps, length / fps, rule.latent_frames(length))


class TakeLatentTail(io.ComfyNode):
    """The last frames of a latent, and the rest."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenTakeLatentTail",
            display_name="Take Latent Tail (Movie Gen)",
            category=CATEGORY,
            description="Cuts the last latent frames off a video or audio latent, to go on from them.",
            search_aliases=[*ALIASES, "last frames", "extend video", "trim latent", "cut latent"],
            inputs=[
                io.Latent.Input("samples", tooltip="A video or audio latent of any model."),
                io.Int.Input(
                    "frames",
                    default=2,
                    min=1,
                    max=4096,
                    tooltip="Latent frames in the tail; the whole latent if it is shorter.",
                ),
            ],
            outputs=[
                io.Latent.Output("tail", tooltip="The last latent frames."),
                io.Latent.Output("rest", tooltip="Everything before; the first frame alone if nothing would be left."),
            ],
        )

    @classmethod
    def execute(cls, samples: dict[str, Any], frames: int) -> io.NodeOutput:
        """Both parts; masks and the length in frames are cut along."""
        length = samples["samples"].shape[time_axis(samples)]
        cut = max(0, length - frames)
        return io.NodeOutput(_part(samples, cut, length), _part(samples, 0, max(1, cut)))


class JoinLatents(io.ComfyNode):
    """Two latents after each other in time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The node as hosts show it."""
        return io.Schema(
            node_id="MovieGenJoinLatents",
            display_name="Join Latents in Time (Movie Gen)",
            category=CATEGORY,
            description="Puts one video or audio latent after another; where they overlap the weights sum to one.",
            search_aliases=[*ALIASES, "concatenate latents", "append video", "extend video", "blend latents"],
            inputs=[
                io.Latent.Input("first", tooltip="A video or audio latent of any model."),
                io.Latent.Input("second", tooltip="What follows, of the same model and size."),
                io.Int.Input(
                    "overlap", default=0, min=0, max=4096, tooltip="Latent frames that both share and that are blended."
                ),
                io.Combo.Input(
                    "curve",
                    options=list(CURVES),
                    advanced=True,
                    tooltip="How the blend runs: a straight line, or a half cosine with soft ends.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="Both, one after the other.")],
        )

    @classmethod
    def execute(
        cls, first: dict[str, Any], second: dict[str, Any], overlap: int, curve: str = CURVES[0]
    ) -> io.NodeOutput:
        """Samples and masks joined; a latent without a mask counts as free everywhere."""
        axis = time_axis(first)
        if time_axis(second) != axis:
            raise ShapeError("a video latent and an audio latent cannot follow each other; join those of one kind")
        joined = {**_plain(first), "samples": join(first["samples"], second["samples"], overlap, axis, curve)}
        if "noise_mask" in first or "noise_mask" in second:
            joined["noise_mask"] = join(_mask(first), _mask(second), overlap, axis, curve)
        shown = convert.shown_frames(second)
        if shown is not None:
            spurious = decoded_frames(second["samples"].shape[axis]) - shown
            joined["num_frames"] = decoded_frames(joined["samples"].shape[axis]) - spurious
        if first["samples"].ndim == 3:
            joined |= joined_sound(first, second, overlap)
        return io.NodeOutput(joined)


def time_axis(latent: dict[str, Any]) -> int:
    """Axis of the latent that is time: video [B, C, T, h, w]; sound [B, C, T], [B, C, F, T] or LTX's [B, C, T, F]."""
    samples = latent["samples"]
    convert.refuse_nested(samples)
    if samples.ndim in (3, 5):
        return 2
    if samples.ndim == 4 and latent.get("type") == "audio":
        # LTX's audio latents say their sample rate, and keep time before frequency.
        return 2 if "sample_rate" in latent else 3
    raise ShapeError(
        f"a latent of shape {tuple(samples.shape)} is a picture without time, or a sound that does not say so, as VAE "
        "Encode Audio gives it; connect a video or audio latent of an empty latent or a sampler"
    )


def _plain(latent: dict[str, Any]) -> dict[str, Any]:
    """The latent without what holds for its own length alone."""
    return {key: value for key, value in latent.items() if key not in ("num_frames", LENGTH_KEY, PIECES_KEY)}


def _part(latent: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    axis = time_axis(latent)
    samples = latent["samples"]
    part = {**_plain(latent), "samples": samples.narrow(axis, start, stop - start).clone()}
    if latent.get("noise_mask") is not None:
        part["noise_mask"] = _mask(latent).narrow(axis, start, stop - start).clone()
    shown = convert.shown_frames(latent)
    if shown is not None:
        part["num_frames"] = min(shown, decoded_frames(stop)) - decoded_frames(start)
    if samples.ndim == 3:
        part |= part_of_sound(latent, start, stop)
    return part


def _mask(latent: dict[str, Any]) -> Tensor:
    """The noise mask at the latent's own size [B, 1, ...]; ones where it has none."""
    samples, mask = latent["samples"], latent.get("noise_mask")
    if mask is None:
        return torch.ones(samples.shape[0], 1, *samples.shape[2:])
    if samples.ndim == 5 and mask.ndim < 5:
        mask = mask.reshape(1, 1, -1, *mask.shape[-2:])  # as samplers read it: one entry a frame, or one for all
    if mask.ndim != samples.ndim or mask.shape[0] not in (1, samples.shape[0]):
        raise ShapeError(
            f"a noise mask of shape {tuple(mask.shape)} does not fit a latent of shape {tuple(samples.shape)}; set the "
            "mask after this node"
        )
    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[samples.ndim]
    fitted = functional.interpolate(mask[:, :1].float(), size=samples.shape[2:], mode=mode)
    return fitted.expand(samples.shape[0], *fitted.shape[1:])
