import pytest
import torch

from moviegen_core.models import catalog
from moviegen_core.models.tae.model import TAEConfig
from moviegen_core.train.data import roughened
from moviegen_core.train.objectives.discriminator import Adversary, PatchDiscriminator, hinge
from moviegen_core.train.objectives.tae import TAELoss, detail_distance, feature_distance, outlier_penalty

CONFIG = TAEConfig(
    channels=(8, 8, 8, 8), spatial_strides=(2, 1, 1), stem_fold=4, norm_groups=4, encoder_blocks=(1, 0, 0, 0),
    decoder_blocks=(0, 0, 0, 1), subpixel=True, linear_path=True, mid_attention=False,
)  # fmt: skip


@pytest.fixture
def tae():
    torch.manual_seed(0)
    return catalog.build("tae", CONFIG, device="cpu").train()


def batch(frames=9, seed=0):
    return {"pixels": torch.rand(2, 3, frames, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1}


def test_outlier_penalty_follows_the_formula_location_by_location():
    latent = torch.randn(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    latent[0, :, 1, 2, 2] += 20.0
    total = 0.0
    for sample in range(2):
        for frame in range(3):
            own = latent[sample, :, frame]
            mean = own.mean(dim=(1, 2))
            std = ((own - mean[:, None, None]) ** 2).mean(dim=(1, 2)).sqrt()
            for row in range(5):
                for column in range(6):
                    total += max((own[:, row, column] - mean).norm() - 3 * std.norm(), 0.0) / 30
    assert total > 0
    torch.testing.assert_close(outlier_penalty(latent), torch.as_tensor(total / 6))


def test_outlier_penalty_spares_gaussian_latents_and_finds_a_dot():
    latent = torch.randn(1, 16, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert outlier_penalty(latent) == 0
    latent[0, :, 0, 3, 3] = 30.0
    latent.requires_grad_()
    outlier_penalty(latent).backward()
    assert latent.grad[0, :, 0, 3, 3].norm() > 10 * latent.grad[0, :, 0, 8, 8].norm()


def test_detail_distance_sees_blur_but_not_a_change_of_brightness():
    sharp = torch.zeros(1, 3, 16, 16)
    sharp[..., 8:] = 1.0
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2)
    assert detail_distance(sharp, sharp) == 0
    assert detail_distance(sharp, sharp + 0.3) < 1e-6
    assert detail_distance(sharp, blurred) > 0.01


def test_feature_distance_reads_the_given_network():
    def network(frames):
        return frames, frames.flip(1)[..., ::2, ::2]

    first, second = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    distance = feature_distance(network)
    assert distance(first, first) == 0
    assert distance(first, second) > 0
    torch.testing.assert_close(distance(first, second), distance(first, 2 * second))  # channels are normalised


@pytest.mark.parametrize("frames", [1, 9])
def test_loss_is_the_weighted_sum_of_its_parts_and_reaches_every_weight(tae, frames):
    loss = TAELoss(perceptual=detail_distance, squared_weight=0.0, kl_weight=0.25, outlier_weight=3.0)
    report = loss(tae, batch(frames), torch.Generator().manual_seed(0))
    parts = report["absolute"] + report["perceptual"] + 0.25 * report["kl"] + 3.0 * report["outlier"]
    torch.testing.assert_close(report["loss"].detach(), parts)
    report["loss"].backward()
    assert all(parameter.grad is not None for parameter in tae.parameters())


def test_same_generator_gives_the_same_loss(tae):
    draws = [TAELoss()(tae, batch(), torch.Generator().manual_seed(seed))["loss"].item() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_latent_noise_is_a_share_of_the_channels_deviation_and_of_another_size_for_each_clip(tae):
    latent = torch.zeros(64, 2, 3, 8, 8)
    deviation = torch.tensor([1.0, 5.0])
    noisy = roughened(latent, 0.3, torch.Generator().manual_seed(0), deviation[:, None, None, None])
    sizes = noisy.transpose(0, 1).flatten(2).std(dim=2) / deviation[:, None]
    torch.testing.assert_close(sizes[0], sizes[1], rtol=0.3, atol=0.01)
    assert sizes.max() < 0.35
    assert sizes.min() < 0.05
    assert sizes.mean().item() == pytest.approx(0.15, abs=0.03)


def test_latent_noise_disturbs_training_alone(tae):
    quiet, noisy = TAELoss(), TAELoss(latent_noise=0.5)
    told = [loss(tae.train(), batch(), torch.Generator().manual_seed(1))["loss"].item() for loss in (quiet, noisy)]
    assert told[0] != told[1]
    told = [loss(tae.eval(), batch(), torch.Generator().manual_seed(1))["loss"].item() for loss in (quiet, noisy)]
    assert told[0] == told[1]


def test_a_few_steps_lower_the_error(tae):
    optimizer = torch.optim.AdamW(tae.parameters(), lr=3e-3)
    absolute = []
    for _ in range(8):
        report = TAELoss()(tae, batch(), torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        report["loss"].backward()
        optimizer.step()
        absolute.append(report["absolute"].item())
    assert absolute[-1] < 0.95 * absolute[0]


def test_adversary_waits_then_learns_and_judges(tae):
    torch.manual_seed(0)
    adversary = Adversary(PatchDiscriminator(channels=8, layers=1), start_step=1)
    loss = TAELoss(adversary=adversary)
    before = [parameter.clone() for parameter in adversary.discriminator.parameters()]
    assert "fooling" not in loss(tae, batch(), torch.Generator().manual_seed(0))
    report = loss(tae, batch(), torch.Generator().manual_seed(0))
    assert "fooling" in report
    assert any(not torch.equal(a, b) for a, b in zip(before, adversary.discriminator.parameters(), strict=True))
    own = [parameter.grad.clone() for parameter in adversary.discriminator.parameters()]
    report["loss"].backward()  # the autoencoder's loss must not teach the discriminator
    assert all(torch.equal(a, b.grad) for a, b in zip(own, adversary.discriminator.parameters(), strict=True))
    restored = Adversary(PatchDiscriminator(channels=8, layers=1))
    restored.load_state_dict(adversary.state_dict())
    assert restored.step == 2


def test_hinge_is_zero_only_for_scores_on_the_right_sides():
    assert hinge(torch.tensor([1.5]), torch.tensor([-1.5])) == 0
    assert hinge(torch.tensor([0.0]), torch.tensor([0.0])) == 1.0


def test_anchor_counts_the_way_from_its_latents_in_their_deviations(tae):
    anchor = catalog.build("tae", CONFIG, device="cpu").eval().requires_grad_(False)
    anchor.load_state_dict(tae.state_dict())
    anchor.set_statistics(torch.zeros(16), torch.full((16,), 2.0))
    loss = TAELoss(anchor=anchor, anchor_weight=0.5)
    assert loss(tae, batch(), torch.Generator().manual_seed(0))["moved"] == 0
    with torch.no_grad():
        tae.encoder.head.linear.bias[:16] += 1.0  # of the means
    report = loss(tae, batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(report["moved"], torch.tensor(0.25))
    free = TAELoss()(tae, batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(report["loss"] - free["loss"], torch.tensor(0.125), atol=1e-4, rtol=0)
