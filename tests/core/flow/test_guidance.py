import torch

from moviegen_core.flow.guidance import classifier_free


def test_scale_1_is_no_guidance_and_scale_0_is_unconditional():
    conditional, unconditional = torch.randn(2, 3, 4)
    assert torch.equal(classifier_free(conditional, unconditional, 1.0), conditional)
    assert torch.equal(classifier_free(conditional, unconditional, 0.0), unconditional)


def test_guidance_extrapolates_from_the_unconditional_velocity():
    conditional, unconditional = torch.tensor([2.0]), torch.tensor([1.0])
    torch.testing.assert_close(classifier_free(conditional, unconditional, 7.5), torch.tensor([8.5]))
