"""The judge's own bench."""

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import judge
from moviegen_core.models import catalog


def test_no_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        judge.evaluate(tmp_path, clips=0)


@pytest.mark.parametrize("roughness", [-0.1, 2.5, float("nan")])
def test_impossible_roughness_is_refused(tmp_path, roughness):
    with pytest.raises(ConfigError, match="from 0 to 2"):
        judge.evaluate(tmp_path, clips=1, roughness=roughness)


def test_rough_clips_differ_from_what_the_autoencoder_gives_back_by_the_noise_alone():
    tae = catalog.build("tae", "nano", device="cpu").eval()
    pixels = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        again = tae.decode(tae.encode(pixels), 8).clamp(-1, 1)
    torch.testing.assert_close(judge.through_autoencoder(tae, 0.0, pixels, 3), again)
    rough = [judge.through_autoencoder(tae, 0.3, pixels, seed) for seed in (3, 3, 4)]
    assert torch.equal(rough[0], rough[1])
    assert not torch.allclose(rough[0], rough[2])
    assert not torch.allclose(rough[0], again)
