import sys
from types import SimpleNamespace

import pytest
import torch

from moviegen_core.errors import BackendError
from moviegen_core.ops import attention

USABLE = [name for name, reason in attention.available().items() if reason is None]


def qkv(queries=7, keys=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    lengths = (queries, keys, keys)
    return [torch.randn(2, 3, length, 8, generator=generator).to(dtype) for length in lengths]


def explicit(q, k, v, mask=None):
    """The definition, with the whole matrix."""
    scores = q.double() @ k.double().transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.nan_to_num(scores.softmax(-1) @ v.double()).float()


def key_mask():
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    mask[0, ..., 3:] = False
    return mask


def scattered(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.4


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize("mask", [None, key_mask(), scattered(2, 1, 7, 5)], ids=["none", "keys", "pairs"])
def test_backend_equals_the_definition(name, mask):
    q, k, v = qkv()
    actual = attention.resolve(name)(q, k, v, mask)
    torch.testing.assert_close(actual, explicit(q, k, v, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", USABLE)
def test_query_that_may_look_nowhere_gets_zeros(name):
    mask = torch.ones(2, 1, 7, 5, dtype=torch.bool)
    mask[1, :, 2] = False
    out = attention.resolve(name)(*qkv(), mask)
    assert bool(torch.isfinite(out).all())
    assert torch.equal(out[1, :, 2], torch.zeros(3, 8))


@pytest.mark.parametrize("mask", [None, key_mask(), scattered(2, 1, 7, 5)], ids=["none", "keys", "pairs"])
def test_training_in_half_precision_on_a_cpu_needs_no_slow_kernel(mask, monkeypatch):
    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", None)
    if mask is not None:
        mask = mask.clone()
        mask[1, ..., :] = False
    parts = [part.requires_grad_() for part in qkv()]
    with torch.autocast("cpu", torch.bfloat16):
        out = attention.sdpa(*parts, mask)
    whole = explicit(*parts, mask)
    torch.testing.assert_close(out.float(), whole, rtol=0.05, atol=0.02)
    found = torch.autograd.grad(out.float().square().sum(), parts)
    wanted = torch.autograd.grad(whole.square().sum(), parts)
    for actual, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(actual[0], expected[0], rtol=0.1, atol=0.1)
        assert bool(torch.isfinite(actual).all())


@pytest.mark.parametrize("where", ["no gradients", "no autocast", "many scores"])
def test_elsewhere_the_kernel_attends(where, monkeypatch):
    monkeypatch.setattr(attention, "_products", None)
    if where == "many scores":
        monkeypatch.setattr(attention, "CHUNK_ELEMENTS", 8)
    q, k, v = (part.requires_grad_(where != "no gradients") for part in qkv())
    with torch.autocast("cpu", torch.bfloat16, enabled=where != "no autocast"):
        attention.sdpa(q, k, v)


def test_math_in_chunks_equals_math_in_one_piece(monkeypatch):
    q, k, v = qkv(queries=33)
    mask = torch.rand(2, 1, 33, 5) > 0.3
    whole = attention.math(q, k, v, mask)
    monkeypatch.setattr(attention, "CHUNK_ELEMENTS", 2 * 3 * 5 * 4)
    torch.testing.assert_close(attention.math(q, k, v, mask), whole)
    torch.testing.assert_close(attention.math(q, k, v, key_mask()), explicit(q, k, v, key_mask()))


def test_math_keeps_the_dtype_of_the_query():
    assert attention.math(*qkv(dtype=torch.bfloat16)).dtype == torch.bfloat16


def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1)):
    """flash_attn on [B, N, H, K]."""
    assert (dropout_p, softmax_scale, causal, window_size) == (0.0, None, False, (-1, -1))
    assert all(part.stride(-1) == 1 for part in (q, k, v))
    return explicit(*(part.transpose(1, 2) for part in (q, k, v))).transpose(1, 2)


def memory_efficient_attention(query, key, value, attn_bias=None, p=0.0, scale=None):
    """xformers on [B, N, H, K]; a bias is added to the scores, has their shape and begins rows at multiples of 8."""
    assert (p, scale) == (0.0, None)
    moved = [part.transpose(1, 2) for part in (query, key, value)]
    scores = moved[0] @ moved[1].transpose(-2, -1) / query.shape[-1] ** 0.5
    if attn_bias is not None:
        assert attn_bias.shape == scores.shape
        assert attn_bias.dtype == query.dtype
        assert attn_bias.stride(-1) == 1
        assert attn_bias.stride(-2) % 8 == 0
        scores = scores + attn_bias
    return (scores.softmax(-1) @ moved[2]).transpose(1, 2)


@pytest.fixture
def stand_ins(monkeypatch):
    """The packages' own signatures and promises, without their GPU."""
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_func=flash_attn_func))
    xformers = SimpleNamespace(memory_efficient_attention=memory_efficient_attention)
    monkeypatch.setitem(sys.modules, "xformers.ops", xformers)


def without_row(mask, *index):
    mask[index] = False
    return mask


MASKS = {
    "none": None,
    "keys at the end": key_mask(),
    "keys anywhere": scattered(2, 1, 1, 5),
    "one row of keys for all": scattered(1, 1, 1, 5),
    "no key for one clip": without_row(key_mask(), 1),
    "no key at all": torch.zeros(2, 1, 1, 5, dtype=torch.bool),
    "every key": torch.ones(1, 1, 1, 1, dtype=torch.bool),
    "pairs": scattered(2, 1, 7, 5),
    "pairs for all": scattered(7, 5),
    "a query without a key": without_row(scattered(2, 1, 7, 5), 1, 0, 2),
    "keys of each head": scattered(2, 3, 1, 5),
    "whole": scattered(2, 3, 7, 5),
}


@pytest.mark.parametrize("name", ["flash", "xformers"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_backend_of_a_package_packs_what_its_kernels_need(name, mask, stand_ins):
    q, k, v = qkv()
    actual = attention.BACKENDS[name](q, k, v, mask)
    torch.testing.assert_close(actual, attention.math(q, k, v, mask), rtol=1e-5, atol=1e-6)


def test_unusable_backend_is_refused_with_the_usable_ones_and_reasons():
    with pytest.raises(BackendError, match=r"'flash' cannot run here .*CUDA.*use auto, sdpa, math .*xformers: needs"):
        attention.resolve("flash", "cpu")
    with pytest.raises(BackendError, match=r"no such backend.*sdpa"):
        attention.resolve("sage", "cpu")


def test_auto_can_run_and_a_function_passes_through():
    assert attention.resolve("auto", "cpu") in attention.BACKENDS.values()
    own = lambda q, k, v, mask: v
    assert attention.resolve(own) is own
