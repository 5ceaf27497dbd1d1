"""Our layers beside a plain re-statement of the paper's figure 8 on the same weights."""

import math

import pytest
import torch

from moviegen_core.layers.attention import CrossAttention
from moviegen_core.layers.block import TransformerBlock
from moviegen_core.layers.embed import FactorisedPositions, sinusoid
from moviegen_core.ops import attention


def plain_attention(x, source, weights, heads, mask=None, scale=None):
    def split(rows):
        return rows.reshape(rows.shape[0], rows.shape[1], heads, -1).permute(0, 2, 1, 3)

    def unit(rows):
        return rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    q, k, v = (split(part @ weights[f"{name}.weight"].T) for part, name in zip((x, source, source), NAMES, strict=True))
    if scale is not None:
        q, k = unit(q) * scale, unit(k)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    out = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(x.shape)
    return out @ weights["out.weight"].T


NAMES = ("query", "key", "value")


def plain_block(block, x, shared, text, mask, heads):
    weights = {name: value.detach() for name, value in block.named_parameters()}

    def of(prefix):
        return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}

    def norm(rows):
        return rows / (rows.square().mean(-1, keepdim=True) + block.norm_eps).sqrt()

    vectors = [part.unsqueeze(1) for part in (shared + weights["modulation.table.weight"]).unbind(1)]
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = vectors
    inner, outer = of("self_attention."), of("cross_attention.")
    normed = norm(x) * (1 + scale) + shift
    x = x + gate * plain_attention(normed, normed, inner, heads, scale=inner.get("query_scale.weight"))
    x = x + plain_attention(x, text, outer, heads, mask, outer.get("query_scale.weight"))
    normed = norm(x) * (1 + mlp_scale) + mlp_shift
    hidden = normed @ weights["mlp.gate.weight"].T
    hidden = hidden * hidden.sigmoid() * (normed @ weights["mlp.up.weight"].T)
    return x + mlp_gate * (hidden @ weights["mlp.down.weight"].T)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_block_equals_the_plain_statement_of_the_paper(qk_norm, grad):
    torch.manual_seed(0)
    block = TransformerBlock(32, 4, 48, qk_norm=qk_norm)
    x, shared, text = torch.randn(2, 11, 32), torch.randn(2, 6, 32), torch.randn(2, 5, 32)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]]).bool()[:, None, None]
    with torch.set_grad_enabled(grad):
        modulation = block.modulation(shared)
        keys, values = block.cross_attention.keys_values(text)
        actual = block(x, modulation, keys, values, mask, attention.sdpa)
    expected = plain_block(block, x, shared, text, mask, 4)
    torch.testing.assert_close(actual.detach(), expected, rtol=1e-4, atol=1e-4)


def test_fresh_block_is_the_identity():
    block = TransformerBlock(32, 4, 48)
    block.reset_parameters()
    x = torch.randn(1, 6, 32)
    keys, values = block.cross_attention.keys_values(torch.randn(1, 3, 32))
    with torch.no_grad():
        out = block(x, block.modulation(torch.zeros(1, 6, 32)), keys, values, None, attention.sdpa)
    torch.testing.assert_close(out, x)


def test_single_context_token_needs_no_queries():
    layer = CrossAttention(32, 4, qk_norm=True)
    x = torch.randn(2, 6, 32)
    keys, values = layer.keys_values(torch.randn(2, 1, 32))
    everything = torch.ones(2, 1, 1, 1, dtype=torch.bool)
    short = layer(x, keys, values, None, attention.sdpa).expand_as(x)
    torch.testing.assert_close(short, layer(x, keys, values, everything, attention.sdpa))


def test_positions_are_the_sum_of_three_tables_in_token_order():
    positions = FactorisedPositions(8, (3, 4, 5))
    places = positions((2, 3, 4), torch.device("cpu"), torch.float32).reshape(2, 3, 4, 8)
    expected = positions.frames.weight[1] + positions.rows.weight[2] + positions.columns.weight[3]
    torch.testing.assert_close(places[1, 2, 3], expected)


def test_sinusoid_tells_neighbouring_times_apart():
    times = torch.linspace(0, 1, 101)
    codes = sinusoid(times)
    assert codes.shape == (101, 256)
    distances = torch.cdist(codes, codes) + torch.eye(101) * 1e9
    assert distances.min() > 0.5
