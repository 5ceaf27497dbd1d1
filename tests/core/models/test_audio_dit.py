"""The sound transformer: sizes, lengths, conditions, positions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_dit.block import rotary_table, rotate
from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig

TINY = AudioDiTConfig(dim=32, num_heads=2, num_layers=2, mlp_dim=48, latent_channels=6, text_dim=10, frame_dim=7)


def tiny(config=TINY, seed=0):
    """A network whose every weight is random, so that all inputs reach the output."""
    torch.manual_seed(seed)
    model = AudioDiT(config).eval()
    model.reset_parameters()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def model():
    return tiny()


def inputs(length=9, batch=1, seed=1):
    torch.manual_seed(seed)
    return torch.randn(batch, 6, length), torch.full((batch,), 0.4)


def test_presets_have_the_sizes_of_the_paper_and_of_the_shipped_model():
    count = {name: catalog.count_parameters(catalog.build("audio_dit", name)) for name in ("nano", "13b")}
    assert count["nano"] <= 2.5e6
    assert 12.2e9 <= count["13b"] <= 13.2e9


def test_fresh_network_predicts_no_velocity():
    model = AudioDiT(TINY)
    model.reset_parameters()
    latent, time = inputs()
    assert torch.equal(model(latent, time, model.prepare()), torch.zeros_like(latent))


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 2, 13, 700])
def test_any_length_goes_through(model, length):
    latent, time = inputs(length)
    assert model(latent, time, model.prepare()).shape == latent.shape


@torch.no_grad()
def test_every_condition_changes_the_velocity(model):
    latent, time = inputs()
    nothing = model(latent, time, model.prepare())
    for condition in (
        {"text": torch.randn(1, 4, 10)},
        {"frames": torch.randn(1, 9, 7)},
        {"context": torch.randn(1, 6, 9)},
    ):
        assert (model(latent, time, model.prepare(**condition)) - nothing).abs().max() > 1e-3


@torch.no_grad()
def test_masked_conditions_are_as_absent_ones(model):
    latent, time = inputs()
    off = torch.zeros(1, 9, dtype=torch.bool)
    prepared = model.prepare(
        torch.randn(1, 4, 10), off[:, :4], torch.full((1, 9, 7), float("nan")), off,
        torch.full((1, 6, 9), float("nan")), off,
    )  # fmt: skip
    assert torch.allclose(model(latent, time, prepared), model(latent, time, model.prepare()), atol=1e-5)


@torch.no_grad()
def test_masked_tokens_of_a_text_are_not_read(model):
    latent, time = inputs(batch=2)
    text = torch.randn(2, 5, 10)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    both = model(latent, time, model.prepare(text, mask))
    alone = model(latent[1:], time[1:], model.prepare(text[1:, :3]))
    assert torch.allclose(both[1:], alone, atol=1e-5)


@torch.no_grad()
def test_head_begins_silent_and_lets_the_noise_past_a_narrow_network():
    config = replace(TINY, head_dim=24)
    model = AudioDiT(config)
    model.reset_parameters()
    latent, time = inputs()
    assert torch.equal(model(latent, time, model.prepare()), torch.zeros_like(latent))
    stirred = tiny(config)
    for parameter in (stirred.latent_in.weight, stirred.latent_in.bias):
        torch.nn.init.zeros_(parameter)  # the blocks are told nothing of the latent
    told = stirred(latent, time, stirred.prepare())
    assert (stirred(latent.flip(2), time, stirred.prepare()) - told.flip(2)).abs().max() < 1e-4
    assert told.std(dim=2).min() > 1e-3
    stirred.head = None
    assert stirred(latent, time, stirred.prepare()).std(dim=2).max() < 1e-4


@torch.no_grad()
def test_frame_is_heard_where_it_is_shown(model):
    frames = torch.zeros(1, 9, 7)
    added = model.prepare(frames=frames).added
    frames[0, 4] = 1.0
    changed = (model.prepare(frames=frames).added - added).abs().amax(dim=-1)[0]
    assert changed[4] > 0
    assert changed[[0, 1, 2, 3, 5, 6, 7, 8]].max() == 0


@torch.no_grad()
def test_taps_let_a_frame_reach_its_neighbours_only():
    model = tiny(replace(TINY, frame_taps=3))
    frames = torch.zeros(1, 9, 7)
    added = model.prepare(frames=frames).added
    frames[0, 4] = 1.0
    changed = (model.prepare(frames=frames).added - added).abs().amax(dim=-1)[0] > 1e-6
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 3


@torch.no_grad()
def test_only_distances_between_frames_count():
    q, k = torch.randn(2, 1, 1, 1, 8).unbind()
    table = rotary_table(30, 8, q.device, q.dtype)

    def score(first, second):
        turned = [rotate(part.expand(1, 1, 30, 8), table)[0, 0, index] for part, index in ((q, first), (k, second))]
        return float(turned[0] @ turned[1])

    assert score(3, 10) == pytest.approx(score(20, 27), abs=1e-5)
    assert abs(score(3, 10) - score(10, 3)) > 1e-3


@torch.no_grad()
def test_window_of_prepared_conditions_is_that_of_the_frames(model):
    latent, time = inputs()
    frames = torch.randn(1, 9, 7)
    cut = model.prepare(frames=frames).window(2, 6)
    assert torch.equal(
        model(latent[:, :, 2:6], time, cut), model(latent[:, :, 2:6], time, model.prepare(frames=frames[:, 2:6]))
    )


def test_saved_network_comes_back(tmp_path, model):
    loading.save(model, tmp_path / "audio.safetensors")
    latent, time = inputs()
    again = loading.load(tmp_path / "audio.safetensors", network="audio_dit")
    assert again.config == model.config
    # Sums may round otherwise where the loaded weights lie otherwise in memory.
    torch.testing.assert_close(
        again(latent, time, again.prepare()), model(latent, time, model.prepare()), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"text": torch.zeros(1, 2, 11)}, "use the encoder"),
        ({"frames": torch.zeros(1, 9, 8)}, "use the encoder"),
        ({"context": torch.zeros(1, 5, 9)}, "codec"),
        ({"frames": torch.zeros(1, 9, 7), "context": torch.zeros(1, 6, 8)}, "equally long"),
        ({"frames": torch.zeros(1, 9, 7), "text": torch.zeros(2, 2, 10)}, "must be equal"),
    ],
)
def test_condition_that_does_not_fit_is_refused(model, condition, words):
    with pytest.raises(ShapeError, match=words):
        model.prepare(**condition)


def test_latent_of_another_length_than_the_frames_is_refused(model):
    latent, time = inputs(5)
    with pytest.raises(ShapeError, match="cut or resample"):
        model(latent, time, model.prepare(frames=torch.zeros(1, 9, 7)))


@pytest.mark.parametrize("change", [{"dim": 30}, {"frame_taps": 2}, {"num_layers": 0}])
def test_impossible_sizes_are_refused(change):
    with pytest.raises(ConfigError):
        replace(TINY, **change)
