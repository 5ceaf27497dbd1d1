import pytest
import torch
from einops import rearrange

from moviegen_core.errors import ShapeError
from moviegen_core.ops.patchify import patchify, unpatchify


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 1, 3), (1, 1, 1)])
def test_unpatchify_undoes_patchify(patch):
    latent = torch.randn(2, 5, 4, 6, 6)
    tokens, grid = patchify(latent, patch)
    assert torch.equal(unpatchify(tokens, grid, patch, 5), latent)


def test_tokens_run_over_frames_rows_columns_and_features_start_with_the_channel():
    latent = torch.randn(2, 3, 4, 6, 8)
    tokens, grid = patchify(latent, (1, 2, 2))
    assert grid == (4, 3, 4)
    assert torch.equal(tokens, rearrange(latent, "b c t (h p) (w q) -> b (t h w) (c p q)", p=2, q=2))


def test_sizes_that_leave_half_a_token_are_refused():
    with pytest.raises(ShapeError, match="multiples of 16"):
        patchify(torch.zeros(1, 16, 1, 5, 4), (1, 2, 2))
    with pytest.raises(ShapeError, match="batch, channels, frames"):
        patchify(torch.zeros(16, 1, 4, 4), (1, 2, 2))


def test_tokens_of_another_grid_are_refused():
    with pytest.raises(ShapeError, match="do not fill"):
        unpatchify(torch.zeros(1, 7, 64), (2, 2, 2), (1, 2, 2), 16)
