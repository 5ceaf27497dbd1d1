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


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize("mask", [None, key_mask(), torch.rand(2, 1, 7, 5) > 0.3], ids=["none", "keys", "pairs"])
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


def test_math_in_chunks_equals_math_in_one_piece(monkeypatch):
    q, k, v = qkv(queries=33)
    mask = torch.rand(2, 1, 33, 5) > 0.3
    whole = attention.math(q, k, v, mask)
    monkeypatch.setattr(attention, "CHUNK_ELEMENTS", 2 * 3 * 5 * 4)
    torch.testing.assert_close(attention.math(q, k, v, mask), whole)
    torch.testing.assert_close(attention.math(q, k, v, key_mask()), explicit(q, k, v, key_mask()))


def test_math_keeps_the_dtype_of_the_query():
    assert attention.math(*qkv(dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_unusable_backend_is_refused_with_the_usable_ones_and_reasons():
    with pytest.raises(BackendError, match=r"'flash' cannot run here .*CUDA.*use auto, sdpa, math .*xformers: needs"):
        attention.resolve("flash", "cpu")
    with pytest.raises(BackendError, match=r"no such backend.*sdpa"):
        attention.resolve("sage", "cpu")


def test_auto_can_run_and_a_function_passes_through():
    assert attention.resolve("auto", "cpu") in attention.BACKENDS.values()
    own = lambda q, k, v, mask: v
    assert attention.resolve(own) is own
