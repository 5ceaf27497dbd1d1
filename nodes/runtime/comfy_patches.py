"""What other nodes hook into a transformer of ours: ComfyUI's attention functions, attention patches, block patches.

The patches are called as ComfyUI's own video transformers call them, so that nodes made for those work here:

post_input          {"img", "txt", "img_ids", "txt_ids", "transformer_options"} -> "img", "txt"; before the first block
attn1_patch         {"x", "q", "k", "transformer_options"} -> x; on self-attention, before its output projection
attn1_output_patch  (x, options) -> x; after attn1_patch, options also holding n_heads and dim_head
attn2_patch         {"x", "transformer_options"} -> x; tokens after cross-attention
double_block        {"img", "txt", "vec", "block_index", "transformer_options"} -> "img"; after a block
patches_replace     ["dit"]["double_block", index]: (values, {"original_block"}) -> "img"; in place of a block

Shape letters: B batch, N tokens, D width, H heads, K head width. x and img are [B, N, D], q and k [B, N, H, K].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.ldm.modules.attention
import torch
from comfy.cli_args import args
from torch import Tensor

from moviegen_core.layers.attention import merge_heads, split_heads


def attention_function(device: torch.device) -> Any:
    """ComfyUI's choice; on a CPU PyTorch's kernel, unless the user named another one."""
    named = args.use_split_cross_attention or args.use_quad_cross_attention
    # ComfyUI's default on CPUs takes 2.6 times as long at 1,024 tokens.
    if device.type == "cpu" and not named:
        return comfy.ldm.modules.attention.attention_pytorch
    return comfy.ldm.modules.attention.optimized_attention


class HostAttention:
    """The attention function that the user chose for ComfyUI, as the core's `attend` for one run of a network.

    Nothing of a run stays on the network: the options travel with this object. Self-attention is told from
    cross-attention by the keys, which `of_block` knows.
    """

    def __init__(self, options: dict[str, Any] | None = None, context_keys: Tensor | None = None) -> None:
        self.options = {} if options is None else options
        self.context_keys = context_keys

    def of_block(self, context_keys: Tensor) -> HostAttention:
        """The same for a block whose cross-attention reads these keys, with the patches of its self-attention."""
        return HostAttention(self.options, context_keys)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """q, k, v [B, H, N, K] and a bool mask -> [B, H, N, K]."""
        if mask is not None:
            # ComfyUI's backends add the mask to the scores.
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, torch.finfo(q.dtype).min)
        attended = attention_function(q.device)(
            q,
            k,
            v,
            q.shape[1],
            mask=mask,
            skip_reshape=True,
            skip_output_reshape=True,
            transformer_options=self.options,
        )
        if self.context_keys is None or k is self.context_keys:
            return attended
        return self._patched(attended, q, k)

    def _patched(self, attended: Tensor, q: Tensor, k: Tensor) -> Tensor:
        patches = self.options.get("patches", {})
        inner, outer = patches.get("attn1_patch", ()), patches.get("attn1_output_patch", ())
        if not inner and not outer:
            return attended
        x = merge_heads(attended)
        for patch in inner:
            x = patch({"x": x, "q": q.transpose(1, 2), "k": k.transpose(1, 2), "transformer_options": self.options})
        for patch in outer:
            x = patch(x, {**self.options, "n_heads": q.shape[1], "dim_head": q.shape[3]})
        return split_heads(x, q.shape[1])


def run_block(index: int, values: dict[str, Any], block: Callable[[dict[str, Any]], Tensor]) -> Tensor:
    """Block `index` on `values`, or what a patch put in its place, and the patches around it -> [B, N, D].

    `values` holds "img", "txt", "vec", "pe" and "transformer_options"; `block` runs the plain block on such values.
    """
    options = values["transformer_options"]
    patches = options.get("patches", {})
    options["block_index"] = index
    if index == 0:
        for patch in patches.get("post_input", ()):
            values = {**values, **patch({**values, "img_ids": None, "txt_ids": None})}
    replace = options.get("patches_replace", {}).get("dit", {}).get(("double_block", index))
    if replace is None:
        x = block(values)
    else:
        x = replace(values, {"original_block": lambda given: {**given, "img": block(given)}})["img"]
    for patch in patches.get("double_block", ()):
        x = patch({**values, "img": x, "block_index": index}).get("img", x)
    return x


def asked_apart(x: Tensor, options: dict[str, Any]) -> int:
    """In how many parts to ask a network about a batch x [B, ...] that holds several conditions.

    On a CPU one for each condition: a doubled batch is no faster there, its activations leave the caches, and an empty
    prompt alone skips its cross-attention. Patches that look into the network may want all conditions at once.
    """
    conditions = len(options.get("cond_or_uncond", ()))
    looked_into = any(options.get(name) for name in ("patches", "patches_replace", "optimized_attention_override"))
    if x.device.type != "cpu" or looked_into or conditions < 2 or len(x) % conditions:
        return 1
    return conditions


def after_cross_attention(options: dict[str, Any]) -> tuple[Callable[[dict[str, Any]], Tensor], ...]:
    """The patches between a block's cross-attention and its feed-forward."""
    return tuple(options.get("patches", {}).get("attn2_patch", ()))
