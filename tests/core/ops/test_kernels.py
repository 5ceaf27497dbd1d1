import pytest
import torch

from moviegen_core.ops import kernels


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    x, other = torch.randn(2, 2, 9, 32)
    scale, shift = torch.randn(2, 2, 1, 32)
    return x, other, scale, shift


def rms_norm(x, eps):
    """The formula, in fp32."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


CASES = {
    "rms_norm": (
        lambda x, o, a, b: kernels.rms_norm(x, 1e-5),
        lambda x, o, a, b: rms_norm(x, 1e-5),
    ),
    "rms_modulate": (
        lambda x, o, a, b: kernels.rms_modulate(x, a, b, 1e-5),
        lambda x, o, a, b: torch.addcmul(b, rms_norm(x, 1e-5), 1.0 + a),
    ),
    "swiglu": (
        lambda x, o, a, b: kernels.swiglu(o.clone(), x),
        lambda x, o, a, b: kernels.swiglu_plain(o, x),
    ),
    "gated_residual": (
        lambda x, o, a, b: kernels.gated_residual(x, o.clone(), a),
        lambda x, o, a, b: kernels.gated_residual_plain(x, o, a),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("grad", [False, True])
def test_fused_kernel_equals_its_plain_formula(name, grad, tensors):
    fused, plain = CASES[name]
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(fused(*tensors), plain(*tensors), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_fused_kernel_has_the_gradients_of_its_plain_formula(name, tensors):
    leaves = [part.clone().requires_grad_() for part in tensors]
    outputs = [call(*leaves).square().sum() for call in CASES[name]]
    gradients = [torch.autograd.grad(output, leaves, allow_unused=True) for output in outputs]
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_kernels_leave_the_residual_stream_untouched(tensors):
    x, other, scale, shift = tensors
    before = x.clone()
    with torch.no_grad():
        kernels.rms_modulate(x, scale, shift, 1e-5)
        kernels.gated_residual(x, other, scale)
    assert torch.equal(x, before)


def test_half_precision_norm_is_computed_wide(tensors):
    x = tensors[0].to(torch.bfloat16) * 300
    with torch.no_grad():
        torch.testing.assert_close(kernels.rms_norm(x, 1e-5), rms_norm(x, 1e-5), rtol=0.02, atol=0.02)


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.bfloat16, 0.02), (torch.float16, 3e-3), (torch.float64, 1e-12)],
)
@pytest.mark.parametrize("level", [0.0, 20.0])
def test_channels_last_group_norm_equals_pytorchs_own(dtype, tolerance, level):
    frames = (torch.randn(3, 32, 9, 11) + level).to(dtype).contiguous(memory_format=torch.channels_last)
    before, (weight, bias) = frames.clone(), torch.randn(2, 32).to(dtype)
    normed = kernels.group_norm(frames, 8, weight, bias, 1e-6)
    # PyTorch's own is the less exact one in fp32 on a CPU.
    expected = torch.nn.functional.group_norm(frames.double(), 8, weight.double(), bias.double(), eps=1e-6)
    torch.testing.assert_close(normed, expected.to(dtype), rtol=tolerance, atol=tolerance)
    assert normed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(frames, before)
