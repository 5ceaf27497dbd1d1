"""Rows of the compatibility matrix about what packs hook into: wrappers, patches, attention, sizes, windows."""

from __future__ import annotations

from collections.abc import Callable

import comfy.patcher_extension
import torch
from comfy_kit import STEPS
from matrix_rows import case, check

TABLE = "hooks"


def _hooked(kit, prepare: Callable, per_step: int) -> str:
    """Equal results, and `per_step` calls in every step, of a hook that does nothing."""
    model, calls = kit.model.clone(), []
    prepare(model, lambda result: (calls.append(1), result)[1])
    verdict = kit.same(kit.advanced(model))
    check(len(calls) == per_step * STEPS, f"was called {len(calls)} times in {STEPS} steps")
    return verdict


@case("wrapper DIFFUSION_MODEL", table=TABLE)
def wrapper(kit) -> str:
    kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
    return _hooked(
        kit, lambda model, note: model.add_wrapper_with_key(kind, "t", lambda run, *a, **k: note(run(*a, **k))), 1
    )


@case("patches_replace dit double_block", table=TABLE)
def block_replace(kit) -> str:
    return _hooked(
        kit,
        lambda model, note: model.set_model_patch_replace(
            lambda values, extra: note(extra["original_block"](values)), "dit", "double_block", 1
        ),
        1,
    )


@case("patch double_block", table=TABLE)
def double_block(kit) -> str:
    return _patch(kit, "double_block", lambda values: {"img": values["img"]}, 2)


@case("patch post_input", table=TABLE)
def post_input(kit) -> str:
    return _patch(kit, "post_input", lambda values: values, 1)


@case("patch attn1_patch", table=TABLE)
def attn1_patch(kit) -> str:
    return _patch(kit, "attn1_patch", lambda values: values["x"], 2)


@case("patch attn1_output_patch", table=TABLE)
def attn1_output_patch(kit) -> str:
    return _patch(kit, "attn1_output_patch", lambda x, options: x, 2)


@case("patch attn2_patch", table=TABLE)
def attn2_patch(kit) -> str:
    return _patch(kit, "attn2_patch", lambda values: values["x"], 2)


def _patch(kit, name: str, same: Callable, per_step: int) -> str:
    """The patch as it is changes nothing; one that halves what it gets moves the result."""
    verdict = _hooked(kit, lambda model, note: model.set_model_patch(lambda *given: note(same(*given)), name), per_step)
    model = kit.model.clone()

    def halve(*given):
        out = same(*given)
        return {**out, "img": out["img"] * 0.5} if isinstance(out, dict) else out * 0.5

    model.set_model_patch(halve, name)
    return f"{verdict}; a halving one {kit.moved(kit.advanced(model))}"


@case("optimized_attention_override", table=TABLE)
def attention_override(kit) -> str:
    def prepare(model, note):
        model.model_options["transformer_options"]["optimized_attention_override"] = (
            lambda function, *given, **options: note(function(*given, **options))
        )

    return _hooked(kit, prepare, 4)


@case("latents that are no whole patches", table=TABLE)
def odd_sizes(kit) -> str:
    shape = (1, 16, 2, 3, 5)
    check(kit.advanced(latent={"samples": torch.zeros(shape)}).shape == shape, "has another size")
    return "padded and cut back"


@case("text in context windows", table=TABLE)
def resized_cond(kit) -> str:
    """Even text whose width is the number of frames stays whole."""
    cond = kit.model.model.extra_conds(cross_attn=kit.positive[0][0], noise=torch.zeros(1, 16, 6, 4, 6), device="cpu")
    cond = cond["c_crossattn"]
    resized = kit.model.model.resize_cond_for_context_window(
        "c_crossattn", cond, None, torch.zeros(1, 16, cond.cond.shape[2], 4, 6), "cpu"
    )
    check(resized is cond, "was cut")
    return "stays whole"
