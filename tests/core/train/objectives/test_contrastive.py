import math

import torch

from moviegen_core.models.text import TextConfig
from moviegen_core.models.vision import VisionConfig
from moviegen_core.train.objectives.contrastive import ContrastivePair, contrastive_loss
from moviegen_core.train.texts import pad

TEXT = TextConfig(
    family="clip",
    vocab_size=50,
    dim=16,
    num_layers=1,
    num_heads=2,
    head_dim=8,
    mlp_dim=16,
    activation="quick_gelu",
    max_tokens=16,
)
VISION = VisionConfig(dim=16, num_layers=1, num_heads=2, mlp_dim=16, image_size=16, patch_size=8)


def pair() -> ContrastivePair:
    torch.manual_seed(0)
    return ContrastivePair(TEXT, VISION, shared_dim=8)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"frames": torch.rand(4, 3, 16, 16) * 2 - 1, **pad([[1, 10 + row, *([20] * row), 2] for row in range(4)])}


def test_indistinguishable_pairs_cost_the_log_of_the_batch():
    same = batch()
    same = {name: value[:1].expand_as(value).contiguous() for name, value in same.items()}
    report = contrastive_loss(pair(), same, torch.Generator())
    torch.testing.assert_close(report["loss"].item(), math.log(4), atol=1e-4, rtol=0)


def test_text_is_read_at_its_end_token_whatever_the_padding():
    rows = batch()
    model = pair()
    alone = model.embed_text(rows["ids"][:1, :3], rows["mask"][:1, :3])
    torch.testing.assert_close(model.embed_text(rows["ids"], rows["mask"])[:1], alone, atol=1e-5, rtol=1e-5)


def test_a_few_steps_on_one_batch_find_the_pairs():
    model, rows = pair(), batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        report = contrastive_loss(model, rows, torch.Generator())
        report["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert report["accuracy"] == 1
