import dataclasses
import inspect

import pytest
import torch
from torch import nn

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.models import catalog
from moviegen_core.models.video_dit.checkpoint import grow_weights, has_prefix, without_prefix
from moviegen_core.models.video_dit.model import VideoDiT, VideoDiTConfig

CONFIG = VideoDiTConfig(
    dim=32, num_heads=4, num_layers=2, mlp_dim=48, context_dims={"ul2": 6, "byt5": 5}, max_grid=(4, 4, 6), qk_norm=True
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = VideoDiT(CONFIG).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    return network


def text(batch=2):
    generator = torch.Generator().manual_seed(1)
    context = {
        "ul2": torch.randn(batch, 4, 6, generator=generator),
        "byt5": torch.randn(batch, 3, 5, generator=generator),
    }
    mask = {"ul2": torch.ones(batch, 4, dtype=torch.bool), "byt5": torch.ones(batch, 3, dtype=torch.bool)}
    return context, mask


def clip(batch=2, frames=2, rows=4, columns=6):
    return torch.randn(batch, 16, frames, rows, columns, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 2, 2), (1, 8, 12), (4, 2, 6)])
def test_any_length_and_aspect_ratio_the_tables_hold_gives_a_velocity_of_the_same_size(model, size):
    latent = clip(1, *size)
    velocity = model(latent, torch.rand(1), model.prepare(batch=1))
    assert velocity.shape == latent.shape


@torch.no_grad()
def test_samples_do_not_see_each_other_whatever_their_masks(model):
    context, mask = text(3)
    mask["ul2"][0, 2:] = False
    mask["byt5"][0] = False
    mask["ul2"][1] = False
    mask["byt5"][1] = False
    latent, time = clip(3), torch.rand(3)
    together = model(latent, time, model.prepare(context, mask))
    for row in range(3):
        alone = model.prepare(
            {name: part[row : row + 1] for name, part in context.items()},
            {name: part[row : row + 1] for name, part in mask.items()},
        )
        torch.testing.assert_close(
            together[row : row + 1], model(latent[row : row + 1], time[row : row + 1], alone), rtol=1e-4, atol=1e-5
        )


@torch.no_grad()
def test_prepared_context_and_modulation_equal_recomputed_ones(model):
    context, mask = text()
    latent, time = clip(), torch.rand(2)
    expected = model(latent, time, Conditioning(context, mask))
    actual = model(latent, model.modulate(time), model.prepare(context, mask))
    torch.testing.assert_close(actual, expected)


@torch.no_grad()
def test_masked_tokens_do_not_matter(model):
    context, mask = text()
    mask["ul2"][:, 2:] = False
    mask["byt5"][0] = False
    changed = {name: torch.where(mask[name][..., None], part, 99.0) for name, part in context.items()}
    latent, time = clip(), torch.rand(2)
    torch.testing.assert_close(
        model(latent, time, model.prepare(changed, mask)), model(latent, time, model.prepare(context, mask))
    )


@torch.no_grad()
def test_every_form_of_no_prompt_reads_the_null_token(model):
    context, mask = text()
    nothing = {name: torch.zeros_like(part) for name, part in mask.items()}
    latent, time = clip(), torch.rand(2)
    expected = model(latent, time, model.prepare(batch=2))
    assert model.prepare(context, nothing).tokens == 1
    for null in (model.prepare(context, nothing), model.prepare(batch=1), Conditioning.empty(2)):
        torch.testing.assert_close(model(latent, time, null), expected)
    model.null_token.weight.add_(1.0)
    assert not torch.allclose(model(latent, time, model.prepare(batch=2)), expected)


@torch.no_grad()
def test_text_time_and_place_all_reach_the_velocity(model):
    context, mask = text()
    latent, time = clip(), torch.tensor([0.3, 0.3])
    base = model(latent, time, model.prepare(context, mask))
    without = {"ul2": context["ul2"]}, {"ul2": mask["ul2"]}
    assert not torch.allclose(model(latent, time, model.prepare(*without)), base)
    assert not torch.allclose(model(latent, time + 0.01, model.prepare(context, mask)), base)
    turned = model(latent.flip(4), time, model.prepare(context, mask)).flip(4)
    assert not torch.allclose(turned, base)


def test_run_block_can_be_overridden():
    class Skipping(VideoDiT):
        def run_block(self, index, x, modulation, context, attend):
            return x if index == 0 else super().run_block(index, x, modulation, context, attend)

    torch.manual_seed(0)
    model = Skipping(CONFIG)
    nn.init.constant_(model.blocks[0].mlp.down.weight, float("nan"))
    with torch.no_grad():
        assert bool(torch.isfinite(model(clip(), torch.rand(2), model.prepare(batch=2))).all())


def test_fresh_network_predicts_zero_and_learns_from_the_first_step():
    model = catalog.build("video_dit", CONFIG, device="cpu")
    output = model(clip(), torch.rand(2), model.prepare(*text()))
    assert float(output.detach().abs().max()) == 0
    (output - 1).square().mean().backward()
    assert float(model.patch_out.weight.grad.abs().max()) > 0


def test_every_weight_is_held_by_a_leaf_layer_of_the_factory():
    used = []

    class Factory:
        def __getattr__(self, name):
            kind = getattr(nn, name)
            return lambda *given, **named: used.append(layer := kind(*given, **named)) or layer

    model = VideoDiT(CONFIG, ops=Factory(), device="meta")
    inside = {id(parameter) for layer in used for parameter in layer.parameters()}
    assert {id(parameter) for parameter in model.parameters()} == inside


@torch.no_grad()
@pytest.mark.parametrize(
    ("axis", "told"), [(0, "48 frames of 96 x 64"), (1, "32 frames of 96 x 80"), (2, "32 frames of 112 x 64")]
)
def test_clip_beyond_the_position_tables_is_refused(model, axis, told):
    size = [4, 8, 12]
    size[axis] += 2
    with pytest.raises(ShapeError, match=f"{told} pixels .* makes up to 32 frames of 96 x 64: shorten the clip"):
        model(clip(1, *size), torch.rand(1), model.prepare(batch=1))


@torch.no_grad()
def test_foreign_contexts_and_channels_are_refused(model):
    with pytest.raises(ShapeError, match="use the ul2 encoder"):
        model.prepare({"ul2": torch.zeros(1, 2, 7)})
    with pytest.raises(ConfigError, match="it reads ul2, byt5"):
        model.prepare({"clip": torch.zeros(1, 2, 6)})
    with pytest.raises(ShapeError, match="reads 16"):
        model(torch.zeros(1, 4, 1, 2, 2), torch.rand(1), model.prepare())
    with pytest.raises(ShapeError, match="equally many"):
        model(clip(3), torch.rand(3), model.prepare(batch=2))


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="multiple of num_heads"):
        dataclasses.replace(CONFIG, num_heads=5)
    with pytest.raises(ConfigError, match="at least 1"):
        dataclasses.replace(CONFIG, num_layers=0)


def grown_to(network, **sizes):
    """A network of greater sizes with the grown weights of another."""
    config = dataclasses.replace(network.config, **sizes)
    grown = VideoDiT(config)
    grown.load_state_dict(grow_weights(network.state_dict(), network.config, config))
    return grown


@torch.no_grad()
def test_grown_network_computes_what_it_did(model):
    grown = grown_to(model, in_channels=20)
    latent, time = clip(), torch.rand(2)
    extra = torch.randn(2, 4, *latent.shape[2:])
    expected = model(latent, time, model.prepare(batch=2))
    torch.testing.assert_close(grown(torch.cat([latent, extra], 1), time, grown.prepare(batch=2)), expected)


@torch.no_grad()
def test_grown_tables_keep_a_place_where_it_was(model):
    grown = grown_to(model, max_grid=(4, 8, 12))
    old, new = model.positions.columns.weight, grown.positions.columns.weight
    assert new.shape == (12, 32)
    # A pair of new neighbours lies around the old position it came from.
    torch.testing.assert_close((new[4] + new[5]) / 2, 0.75 * old[2] + 0.125 * (old[1] + old[3]))
    assert torch.equal(grown.positions.frames.weight, model.positions.frames.weight)
    longer = grown_to(model, max_grid=(6, 4, 6)).positions.frames.weight
    assert torch.equal(longer[:4], model.positions.frames.weight)
    assert torch.equal(longer[4:], longer[3:4].expand(2, -1))
    with pytest.raises(ConfigError, match="cannot shrink"):
        grown_to(grown, max_grid=(4, 4, 6))


def test_host_prefix_key_map_round_trips():
    keys = list(VideoDiT(CONFIG, device="meta").state_dict())
    foreign = [f"model.diffusion_model.{key}" for key in keys]
    assert has_prefix(foreign)
    assert not has_prefix(keys)
    assert [without_prefix(key) for key in foreign] == keys


@pytest.mark.parametrize(
    ("preset", "core", "total"),
    [
        ("5b", 4.83e9, None),
        ("30b", 28.99e9, 29.4e9),
        ("upsampler", None, 7e9),
        ("1b", None, 1e9),
        ("nano", None, 5.17e6),
    ],
)
def test_preset_has_the_stated_number_of_parameters(preset, core, total):
    model = catalog.build("video_dit", preset)
    assert next(model.parameters()).device.type == "meta"
    if core:
        layers = [
            block.get_submodule(name) for block in model.blocks for name in ("self_attention", "cross_attention", "mlp")
        ]
        assert sum(map(catalog.count_parameters, layers)) == pytest.approx(core, rel=0.01)
    if total:
        assert catalog.count_parameters(model) == pytest.approx(total, rel=0.01 if core else 0.03)


def test_constructor_takes_factory_attention_device_and_dtype():
    assert {"ops", "attend", "device", "dtype"} <= set(inspect.signature(VideoDiT).parameters)
    model = VideoDiT(CONFIG, device="meta", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
