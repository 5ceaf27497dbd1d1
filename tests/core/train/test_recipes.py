"""Every recipe runs from its first stage to shipped weights, with tiny sizes."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from moviegen_core import weights
from moviegen_core.devices import choose
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.media.frames import from_uint8
from moviegen_core.models import adapters, catalog, loading
from moviegen_core.models.judge.model import JudgeConfig, prepare_clip
from moviegen_core.models.tae import presets as tae_presets
from moviegen_core.models.tae.model import TAE
from moviegen_core.models.text import build_network, save_text_encoder
from moviegen_core.models.text.presets import NANO as NANO_TEXT
from moviegen_core.models.text.tokenizer import ByteTokenizer, LibraryTokenizer
from moviegen_core.models.video_dit import presets as video_presets
from moviegen_core.models.video_dit.model import VideoDiT
from moviegen_core.toybox import sample_scene
from moviegen_core.train import loop, state
from moviegen_core.train.clips import ClipConfig, falls, hard
from moviegen_core.train.crops import CropConfig
from moviegen_core.train.latents import encoder_hash, load_tae, weights_hash
from moviegen_core.train.recipes import RECIPES, nano_judge, nano_tae, nano_video
from moviegen_core.train.vocabulary import build_tokenizer
from moviegen_core.train.workspace import Workspace

CLIPS = ClipConfig(count=3, size=32, kinds=((16, 16, 2), (17, 24, 1)))


@pytest.fixture(autouse=True)
def short_beside_the_training(monkeypatch):
    """Sheets in few steps, and channels weighed on one still: neither is what these tests look at."""
    monkeypatch.setattr(nano_video, "SHEET_STEPS", 1)
    monkeypatch.setattr(nano_video, "WEIGHED_STILLS", 1)


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path)


@pytest.fixture(scope="module")
def trained_tae(tmp_path_factory):
    """A workspace in which the autoencoder recipe has run."""
    workspace = make_workspace(tmp_path_factory.mktemp("tae"))
    nano_tae.run(tiny_tae_recipe(), workspace)
    return workspace


def make_workspace(folder):
    return Workspace(
        output=folder / "runs",
        ship=folder / "ship",
        placement=choose("cpu", "fp32"),
        render_workers=0,
        out=io.StringIO(),
    )


def tiny_tae_recipe():
    image, clip = (CropConfig(frames=frames, size=16, batch_size=1) for frames in (1, 8))
    stage = nano_tae.TAEStage(minutes=None, steps=1, crops=(image, clip))
    return nano_tae.TAERecipe(
        clips=CLIPS,
        start_clips=3,
        joint=stage,
        finish=stage,
        decoder=replace(stage, adversary_weight=0.1, steps=2),
        statistics_clips=3,
    )


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
        nano_video.VideoRecipe(joint=nano_video.VideoStage(minutes=1, size=size))


def test_weights_of_shorter_tables_grow_into_the_preset(tmp_path):
    workspace = make_workspace(tmp_path)
    ship_untrained_parts(workspace)
    small = VideoDiT(replace(video_presets.NANO, max_grid=(4, 8, 8)))
    file = loading.save(small, tmp_path / "small.safetensors")
    recipe = replace(tiny_video_recipe(), start=str(file), whiten=False)
    begun = nano_video.begun(recipe, nano_video.Data(recipe, workspace))
    assert begun.positions.rows.weight.shape[0] == video_presets.NANO.max_grid[1]
    assert torch.equal(begun.patch_in.weight, small.patch_in.weight)


@pytest.mark.parametrize(("field", "kind"), [("hard_turns", hard), ("falls_turns", falls)])
def test_clips_of_a_kind_come_as_often_as_a_stage_says(tmp_path, field, kind):
    count = 12
    workspace, recipe = make_workspace(tmp_path), replace(tiny_video_recipe(), clips=replace(CLIPS, count=count))
    ship_untrained_parts(workspace)
    data = nano_video.Data(recipe, workspace)
    few = sum(kind(data.clips.scene(number)) for number in range(count))
    assert 0 < few < count
    for turns in (1, 3):
        source = data.source(replace(recipe.joint, stills=0, **{field: turns}), seed=0)
        held = sum(len(members) for members in source.sources[0].buckets.members.values())
        assert held == count + (turns - 1) * few


def test_autoencoder_recipe_ships_weights_with_latents_of_unit_variance(trained_tae):
    workspace = trained_tae
    entry = weights.shipped(workspace.ship)["nano/tae"]
    assert (entry.network, entry.recipe, entry.steps) == ("tae", "nano-tae", 4)
    tae = loading.load(workspace.weight_file("nano/tae"), dtype=torch.float32)
    assert not torch.equal(tae.latent_std, torch.ones(16))
    assert list(workspace.folder("nano-tae", "decoder", "sheets").glob("step-*.png"))


def test_last_stage_of_the_autoencoder_leaves_the_encoder_alone(trained_tae):
    finish, decoder = (
        torch.load(trained_tae.folder("nano-tae", stage, "checkpoint.pt"), weights_only=True)
        for stage in ("finish", "decoder")
    )
    for name, value in decoder["module"].items():
        if name.startswith("encoder."):
            assert torch.equal(value, finish["ema"]["shadow"][name]), name
    assert not torch.equal(
        decoder["module"]["decoder.head.linear.weight"], finish["module"]["decoder.head.linear.weight"]
    )


def copied(workspace, folder):
    """The same work in a folder of its own."""
    shutil.copytree(workspace.output, folder / "runs")
    return make_workspace(folder)


def test_training_anew_first_deletes_what_an_older_one_left_of_all_stages(trained_tae, tmp_path, monkeypatch):
    def stop(self, batches):
        raise KeyboardInterrupt

    workspace = copied(trained_tae, tmp_path)
    folder = workspace.folder("nano-tae")
    (folder / "decoder" / "snapshot-0.500.pt").touch()
    monkeypatch.setattr(loop.Trainer, "_optimise", stop)
    with pytest.raises(KeyboardInterrupt):
        nano_tae.run(tiny_tae_recipe(), replace(workspace, resume=False))
    assert not list(folder.rglob("*.pt"))


def test_stage_of_an_older_training_does_not_replace_a_newer_one(trained_tae, tmp_path):
    workspace, recipe = copied(trained_tae, tmp_path), tiny_tae_recipe()
    with pytest.raises(CheckpointError, match=r"nano-tae/finish holds .* other weights"):
        nano_tae.run(replace(recipe, joint=replace(recipe.joint, steps=3)), workspace)
    assert state.load(workspace.folder("nano-tae", "joint", "checkpoint.pt"))["step"] == 3


def test_autoencoder_stages_without_time_are_left_out(trained_tae, tmp_path):
    workspace, recipe = copied(trained_tae, tmp_path), tiny_tae_recipe()
    none = replace(recipe.joint, minutes=0, steps=None)
    nano_tae.run(replace(recipe, finish=none, decoder=none), workspace)
    assert weights.shipped(workspace.ship)["nano/tae"].steps == 1


def test_decoder_alone_learns_on_from_weights_and_leaves_their_latents_as_they_are(trained_tae, tmp_path):
    before, recipe = trained_tae.weight_file("nano/tae"), tiny_tae_recipe()
    workspace = make_workspace(tmp_path)
    recipe = replace(recipe, start=str(before), **left_out(recipe, "joint", "finish"))
    nano_tae.run(recipe, workspace)
    taes = [loading.load(file, dtype=torch.float32) for file in (before, workspace.weight_file("nano/tae"))]
    assert encoder_hash(taes[0]) == encoder_hash(taes[1])
    assert weights_hash(taes[0]) != weights_hash(taes[1])


def left_out(recipe, *names):
    """These stages without time."""
    return {name: replace(getattr(recipe, name), minutes=0, steps=None) for name in names}


def test_video_recipe_ships_the_average_of_its_last_snapshots(workspace):
    ship_untrained_parts(workspace)
    nano_video.run(tiny_video_recipe(), workspace)
    entry = weights.shipped(workspace.ship)["nano/video"]
    assert (entry.network, entry.steps) == ("video_dit", 5)
    assert entry.sampling == {"guidance_scale": 3.0, "temperature": 0.8}
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


@pytest.mark.parametrize("change", [{"minutes": 0, "steps": None}, {"snapshots": ()}, {"snapshots": (1.5,)}])
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


def test_judge_learns_mirrored_clips_as_panned_the_other_way(workspace):
    wanted = {"pan left": "pan right", "pan right": "pan left"}
    first_seed = next(seed for seed in range(1000) if sample_scene(seed, split="train").labels()["camera"] in wanted)
    clips = workspace.clips(ClipConfig(count=1, size=32, kinds=((32, 16, 1),), first_seed=first_seed))
    label = clips.scene(0).labels()["camera"]
    config = JudgeConfig(classes=nano_judge.CLASSES, size=32)
    batch = nano_judge.labelled(clips, config, nano_judge.JudgeRecipe(batch_size=12)).batch(0)
    (real,) = prepare_clip(from_uint8(np.array(clips.pixels(0)))[None], 16, config)["moves"]
    seen = set()
    for pixels, camera in zip(batch["moves"], batch["camera"], strict=True):
        mirrored = not torch.allclose(pixels, real, atol=2e-3)
        assert torch.allclose(pixels, real.flip(-1) if mirrored else real, atol=2e-3)
        assert nano_judge.CLASSES["camera"][camera] == (wanted[label] if mirrored else label)
        seen.add(mirrored)
    assert seen == {True, False}


def test_judge_sees_a_share_of_the_clips_through_the_autoencoder(workspace):
    ship_untrained_parts(workspace)
    clips = workspace.clips(ClipConfig(count=2, size=32, kinds=((32, 16, 1),), first_seed=7))
    config = JudgeConfig(classes=nano_judge.CLASSES, size=32)
    coded = nano_judge.coded_clips(workspace, clips.first(1), config)
    given = from_uint8(np.array(clips.pixels(0)))[None]
    tae = load_tae(workspace)
    with torch.inference_mode():
        again = prepare_clip(tae.decode(tae.encode(given)).clamp(-1, 1), 16, config)["stills"][0]
    drawn = [from_uint8(np.array(clips.pixels(number)))[None] for number in (0, 1)]
    real = [prepare_clip(pixels, 16, config)["stills"][0] for pixels in drawn]
    seen = set()
    for share in (0.0, 0.5, 1.0):
        recipe = nano_judge.JudgeRecipe(batch_size=16, coded_share=share)
        for pixels in nano_judge.labelled(clips, config, recipe, coded).batch(0)["stills"]:
            kinds = {"first": real[0], "second": real[1], "coded": again}
            (kind,) = (
                name for name, clip in kinds.items()
                if any(torch.allclose(pixels, view, atol=2e-3) for view in (clip, clip.flip(-1)))
            )  # fmt: skip
            assert share == 0.5 or (kind == "coded") == (share == 1.0)
            seen.add(kind)
    assert seen == {"first", "second", "coded"}
    shutil.rmtree(workspace.folder("judge-clips"))
    rough = nano_judge.coded_clips(workspace, clips.first(1), config, roughness=0.4)[0]["stills"]
    assert not torch.allclose(rough, again, atol=2e-3)


def test_judge_goes_on_from_one_of_less_detail_only(workspace):
    for detail in (1, 2):
        judge = catalog.build("judge", JudgeConfig(classes=nano_judge.CLASSES, detail=detail), device="cpu")
        loading.save(judge, workspace.ship / f"{detail}.safetensors")
    begun = nano_judge.begun(workspace, nano_judge.JudgeRecipe(start=str(workspace.ship / "1.safetensors")))
    assert begun["still.convs.0.weight"].shape[1] == 12
    recipe = nano_judge.JudgeRecipe(start=str(workspace.ship / "2.safetensors"), detail=1)
    with pytest.raises(ConfigError, match="detail=2"):
        nano_judge.begun(workspace, recipe)
