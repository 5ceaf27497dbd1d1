"""Every recipe runs from its first stage to shipped weights, with tiny sizes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from moviegen_core import weights
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import adapters, loading
from moviegen_core.models.tae import presets as tae_presets
from moviegen_core.models.tae.model import TAE
from moviegen_core.models.text import build_network, save_text_encoder
from moviegen_core.models.text.presets import NANO as NANO_TEXT
from moviegen_core.models.text.tokenizer import ByteTokenizer, LibraryTokenizer
from moviegen_core.models.video_dit import presets as video_presets
from moviegen_core.models.video_dit.model import VideoDiT
from moviegen_core.train import state
from moviegen_core.train.clips import ClipConfig, falls, hard
from moviegen_core.train.latents import latents
from moviegen_core.train.recipes import RECIPES, nano_video
from moviegen_core.train.vocabulary import build_tokenizer

CLIPS = ClipConfig(count=3, size=32, kinds=((16, 16, 2), (17, 24, 1)))


@pytest.fixture(autouse=True)
def short_beside_the_training(monkeypatch):
    """Sheets in few steps, and channels weighed on one still: neither is what these tests look at."""
    monkeypatch.setattr(nano_video, "SHEET_STEPS", 1)
    monkeypatch.setattr(nano_video, "WEIGHED_STILLS", 1)


@cache
def words(family):
    """A tokenizer that knows few words."""
    size = NANO_TEXT["ul2" if family == "t5" else "metaclip"].vocab_size
    return LibraryTokenizer(build_tokenizer(["a red ball bounces"], family, size), family)


def ship_untrained_parts(workspace):
    """A random autoencoder and random encoders, enough for the video recipe's plumbing."""
    tokenizers = {"ul2": words("t5"), "metaclip": words("clip"), "byt5": ByteTokenizer()}
    tae = TAE(tae_presets.NANO)
    tae.reset_parameters()
    workspace.export("nano/tae", tae)
    for role in ("ul2", "metaclip", "byt5"):
        file = workspace.ship / f"{role}.safetensors"
        save_text_encoder(file, role, NANO_TEXT[role], build_network(NANO_TEXT[role]), tokenizers[role])
        weights.register(f"nano/{role}", file, workspace.ship)


def tiny_video_recipe():
    stage = nano_video.VideoStage(minutes=None, steps=1, size=32, stills=1, videos=1, tokens_per_batch=16)
    return nano_video.VideoRecipe(
        clips=CLIPS,
        longs=ClipConfig(count=1, size=32, kinds=((24, 16, 1),), first_seed=90),
        stills=ClipConfig(count=3, size=32, kinds=((1, 16, 1),), first_seed=95),
        variants=2,
        images=replace(stage, videos=0),
        joint=replace(stage, size=16),
        long=replace(stage, longs=1),
        best=replace(stage, steps=2, best_share=0.5, snapshots=(0.5, 1.0)),
    )


@pytest.mark.parametrize("size", [48, 256])
def test_stage_of_a_size_that_clips_cannot_be_averaged_to_is_refused(size):
    with pytest.raises(ConfigError, match=rf"{size} pixels cannot be averaged down from clips of 128"):
        nano_video.VideoRecipe(joint=nano_video.VideoStage(minutes=1, size=size, stills=1))


def test_weights_of_shorter_tables_grow_into_the_preset(workspace, tmp_path):
    ship_untrained_parts(workspace)
    small = VideoDiT(replace(video_presets.NANO, max_grid=(4, 8, 8)))
    file = loading.save(small, tmp_path / "small.safetensors")
    recipe = replace(tiny_video_recipe(), start=str(file), whiten=False)
    begun = nano_video.begun(recipe, nano_video.Data(recipe, workspace))
    assert begun.positions.rows.weight.shape[0] == video_presets.NANO.max_grid[1]
    assert torch.equal(begun.patch_in.weight, small.patch_in.weight)


@pytest.mark.parametrize(("field", "kind"), [("hard_turns", hard), ("falls_turns", falls)])
def test_clips_of_a_kind_come_as_often_as_a_stage_says(workspace, field, kind):
    count = 12
    recipe = replace(tiny_video_recipe(), clips=replace(CLIPS, count=count))
    ship_untrained_parts(workspace)
    data = nano_video.Data(recipe, workspace)
    few = sum(kind(data.clips.scene(number)) for number in range(count))
    assert 0 < few < count
    for turns in (1, 3):
        source = data.source(replace(recipe.joint, stills=0, **{field: turns}), seed=0)
        held = sum(len(members) for members in source.sources[0].buckets.members.values())
        assert held == count + (turns - 1) * few


def left_out(recipe, *names):
    """These stages without time."""
    return {name: replace(getattr(recipe, name), minutes=0, steps=None) for name in names}


def test_video_recipe_ships_the_average_of_its_last_snapshots(workspace):
    ship_untrained_parts(workspace)
    nano_video.run(tiny_video_recipe(), workspace)
    entry = weights.shipped(workspace.ship)["nano/video"]
    assert (entry.network, entry.steps) == ("video_dit", 5)
    assert entry.sampling == {"guidance_scale": 3.0, "temperature": 0.8, "largest_side": 32}
    shadows = [
        torch.load(file, weights_only=True)["shadow"]
        for file in sorted(workspace.folder("nano-video", "best").glob("snapshot-*.pt"))
    ]
    assert len(shadows) == 2
    model = loading.load(workspace.weight_file("nano/video"), dtype=torch.float32)
    name, value = next((name, value) for name, value in model.named_parameters() if value.ndim == 2)
    wanted = (shadows[0][name].double() + shadows[1][name].double()) / 2
    assert torch.allclose(value.double(), wanted, atol=1e-3)


def test_video_recipe_trains_on_from_a_checkpoint(workspace, tmp_path):
    ship_untrained_parts(workspace)
    begun = VideoDiT(video_presets.NANO)
    torch.manual_seed(3)
    begun.reset_parameters()
    file = tmp_path / "begun.safetensors"
    loading.save(begun, file)
    recipe = tiny_video_recipe()
    still = {name: replace(getattr(recipe, name), learning_rate=0.0) for name in ("joint", "best")}
    nano_video.run(replace(recipe, start=str(file), **still, **left_out(recipe, "images", "long")), workspace)
    model = loading.load(workspace.weight_file("nano/video"), dtype=torch.float32)
    for name, value in begun.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, rtol=1e-3, atol=1e-3), name


def test_video_recipe_shows_windows_about_the_subject(workspace):
    ship_untrained_parts(workspace)
    recipe = tiny_video_recipe()
    recipe = replace(recipe, joint=replace(recipe.joint, stills=0, videos=0, still_windows=1, video_windows=1, steps=2))
    nano_video.run(replace(recipe, **left_out(recipe, "images", "long")), workspace)
    assert weights.shipped(workspace.ship)["nano/video"].steps == 4  # of the stages that have time
    assert not workspace.folder("nano-video", "long").exists()
    with pytest.raises(ConfigError, match="windows about the subject, which hints tell"):
        replace(recipe, hint_weight=0.0)


def test_video_recipe_teaches_a_critic_before_its_stages(workspace):
    ship_untrained_parts(workspace)
    recipe = replace(tiny_video_recipe(), critic_weight=0.5, critic=replace(tiny_video_recipe().joint, steps=2))
    nano_video.run(replace(recipe, **left_out(recipe, "images", "joint", "long")), workspace)
    assert weights.shipped(workspace.ship)["nano/video"].steps == 2
    assert state.load(workspace.folder("nano-video", nano_video.CRITIC, "checkpoint.pt"))["step"] == 2
    logged = workspace.folder("nano-video", "best", "metrics.jsonl").read_text()
    assert '"unlike"' in logged
    with pytest.raises(ConfigError, match="the critic learns from hints"):
        replace(recipe, hint_weight=0.0)
    with pytest.raises(ConfigError, match="the stage critic is left out; give it time"):
        replace(recipe, critic=replace(recipe.critic, minutes=0))


def test_video_recipe_trains_adapters_beside_weights_that_stay(workspace, tmp_path):
    ship_untrained_parts(workspace)
    torch.manual_seed(3)
    begun = VideoDiT(video_presets.NANO)
    begun.reset_parameters()
    # Blocks start as the identity; no gradient would reach what is inside of them.
    torch.nn.init.normal_(begun.patch_out.weight, std=0.1)
    for block in begun.blocks:
        torch.nn.init.normal_(block.modulation.table.weight, std=0.5)
        torch.nn.init.normal_(block.cross_attention.out.weight, std=0.1)
    file = loading.save(begun, tmp_path / "begun.safetensors")
    nano_video.run(replace(tiny_video_recipe(), start=str(file), adapter_rank=2), workspace)
    assert "nano/video" not in weights.shipped(workspace.ship)
    saved = workspace.folder("nano-video", nano_video.ADAPTER)
    before = {name: value.clone() for name, value in begun.state_dict().items()}
    assert adapters.Added(begun).add(saved) == 11 * len(begun.blocks)
    moved = [name for name, value in begun.state_dict().items() if not torch.equal(value, before[name])]
    assert len(moved) == 11 * len(begun.blocks)


def test_adapters_without_weights_to_adapt_are_refused(workspace):
    ship_untrained_parts(workspace)
    with pytest.raises(ConfigError, match="start=FILE"):
        nano_video.run(replace(tiny_video_recipe(), adapter_rank=2), workspace)


def test_snapshots_of_an_earlier_training_do_not_count(tmp_path):
    model = torch.nn.Linear(1, 1, bias=False)
    for mark, value in ((0.25, 100.0), (0.5, 1.0), (1.0, 3.0)):
        state.save(tmp_path / f"snapshot-{mark:.3f}.pt", {"shadow": {"weight": torch.full((1, 1), value)}})
    nano_video.merge(model, tmp_path, (0.5, 1.0))
    assert model.weight.item() == 2.0
    with pytest.raises(CheckpointError, match="train the stage anew"):
        nano_video.merge(model, tmp_path, (0.75,))


@pytest.mark.parametrize(
    "change", [{"minutes": 0}, {"minutes": 4, "steps": 0}, {"snapshots": ()}, {"snapshots": (1.5,)}]
)
def test_last_stage_that_leaves_nothing_to_average_is_refused_before_the_work(workspace, change):
    recipe = tiny_video_recipe()
    with pytest.raises(ConfigError, match=r"the stage best has .*give it time or steps"):
        nano_video.run(replace(recipe, best=replace(recipe.best, **change)), workspace)
    assert not workspace.output.exists()


def test_weights_are_those_in_ship_or_else_the_shipped_ones(workspace):
    known = weights.shipped()["nano/tae"]
    assert workspace.sha256("nano/tae") == known.sha256
    assert workspace.weight_file("nano/tae") == weights.path("nano/tae")
    ship_untrained_parts(workspace)
    assert workspace.sha256("nano/tae") == weights.shipped(workspace.ship)["nano/tae"].sha256 != known.sha256
    with pytest.raises(CheckpointError, match="no shipped weights are called 'nano/absent'"):
        workspace.sha256("nano/absent")


@pytest.mark.parametrize("name", ["nano-video", "nano-judge", "nano-sound-judge", "nano-sound-match", "nano-audio"])
def test_missing_weights_are_told_before_anything_is_drawn(workspace, tmp_path, monkeypatch, name):
    monkeypatch.setattr(weights, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(CheckpointError, match="run: make nano"):
        RECIPES[name].run(RECIPES[name].config, workspace)
    assert not workspace.output.exists()


def test_latents_of_another_autoencoder_are_refused(workspace):
    ship_untrained_parts(workspace)
    data = nano_video.Data(tiny_video_recipe(), workspace)
    stage = replace(tiny_video_recipe().joint, stills=0)
    data.source(stage, 0)
    ship_untrained_parts(workspace)
    with pytest.raises(CheckpointError, match="another tae"):
        data.source(stage, 0)


def test_features_of_other_text_encoders_are_refused(workspace):
    ship_untrained_parts(workspace)
    nano_video.Data(tiny_video_recipe(), workspace)
    ship_untrained_parts(workspace)
    with pytest.raises(CheckpointError, match="delete the folder"):
        nano_video.Data(tiny_video_recipe(), workspace)


def test_latents_of_other_weights_are_made_again_in_a_training_anew(workspace):
    ship_untrained_parts(workspace)
    clips = workspace.clips(CLIPS)
    before = latents(workspace, clips, 1, "latents")
    stored = before.get(0, "latent")
    ship_untrained_parts(workspace)
    anew = latents(replace(workspace, resume=False), clips, 1, "latents")
    assert not torch.equal(stored, anew.get(0, "latent"))
    assert {name for name, value in before.origin.items() if anew.origin[name] != value} == {"tae"}


def test_captions_of_other_weights_are_made_again_in_a_training_anew(workspace):
    ship_untrained_parts(workspace)
    before = nano_video.Data(tiny_video_recipe(), workspace)
    ship_untrained_parts(workspace)
    anew = nano_video.Data(tiny_video_recipe(), replace(workspace, resume=False))
    assert {name for name, value in before.texts.origin.items() if anew.texts.origin[name] != value} == {
        "ul2", "metaclip", "byt5",
    }  # fmt: skip


def test_captions_are_not_kept_where_text_encoders_are_trained(workspace):
    ship_untrained_parts(workspace)
    nano_video.Data(tiny_video_recipe(), workspace)
    assert workspace.folder("captions", "manifest.json").is_file()
    assert not workspace.folder("text").exists()
