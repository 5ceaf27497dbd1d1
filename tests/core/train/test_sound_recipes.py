"""The recipes of the sound match and the sound transformer run from rendering to shipped weights, with tiny sizes."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
import torch

from moviegen_core import weights
from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_dit import presets as audio_presets
from moviegen_core.models.audio_dit.model import AudioDiT
from moviegen_core.models.sound_judge.model import SoundJudgeConfig
from moviegen_core.models.text import build_network, save_text_encoder
from moviegen_core.models.text.presets import NANO as NANO_TEXT
from moviegen_core.models.text.tokenizer import LibraryTokenizer
from moviegen_core.models.vision import build_network as build_tower
from moviegen_core.models.vision.checkpoint import save_vision_tower
from moviegen_core.models.vision.presets import NANO as NANO_VISION
from moviegen_core.toybox import SOUND_KINDS
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.data import position_rng
from moviegen_core.train.recipes import nano_audio, nano_sound_judge, nano_sound_match
from moviegen_core.train.sound_data import (
    BANDS,
    EFFECTS,
    Stretches,
    band_cache,
    caption_of_sound,
    effects_of,
    encoder_hash,
    latent_cache,
    places,
    sound_clips,
    text_cache,
    trained_codec,
)
from moviegen_core.train.sounds import SoundConfig, Sounds
from moviegen_core.train.vocabulary import build_tokenizer

CLIPS = ClipConfig(count=4, size=32, kinds=((16, 8, 2), (20, 16, 1)), first_seed=70)
STRUCK = replace(CLIPS, count=2, motions=("walk",))
PLACES = SoundConfig.beside(replace(CLIPS, count=2, first_seed=90), channels=1, subject=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, in_folder):
    """Random encoders and a random codec, and a sound match that its recipe trained."""
    workspace = in_folder(tmp_path_factory.mktemp("sound"))
    torch.manual_seed(0)
    tokenizer = LibraryTokenizer(build_tokenizer(["a ball bounces"], "t5", NANO_TEXT["ul2"].vocab_size), "t5")
    file = workspace.ship / "ul2.safetensors"
    save_text_encoder(file, "ul2", NANO_TEXT["ul2"], build_network(NANO_TEXT["ul2"]), tokenizer)
    weights.register("nano/ul2", file, workspace.ship)
    file = workspace.ship / "metaclip_vision.safetensors"
    save_vision_tower(
        file, NANO_VISION, build_tower(NANO_VISION),
        {name: torch.zeros(4, 192) for name in ("vision_projection", "text_projection")},
    )  # fmt: skip
    weights.register("nano/metaclip_vision", file, workspace.ship)
    workspace.export("nano/audio_codec", catalog.build("audio_codec", device="cpu"))
    nano_sound_match.run(match_recipe(), workspace)
    return workspace


def read(path):
    return json.loads(path.read_text())


def match_recipe(**changes):
    return nano_sound_match.SoundMatchRecipe(
        **{"clips": CLIPS, "struck": STRUCK, "steps": 2, "minutes": 60, "batch_size": 2, **changes}
    )


def audio_recipe(**changes):
    return nano_audio.AudioRecipe(
        **{"clips": CLIPS, "struck": STRUCK, "places": PLACES, "steps": 2, "minutes": 60, "tokens_per_batch": 100}
        | changes
    )


def test_match_recipe_ships_weights_that_know_the_spread_of_the_text(workspace):
    entry = weights.shipped(workspace.ship)["nano/sound_match"]
    assert (entry.network, entry.recipe) == ("sound_match", "nano-sound-match")
    match = loading.load(workspace.weight_file("nano/sound_match"), dtype=torch.float32)
    assert not torch.equal(match.text_standard.std, torch.ones(192))


def test_match_trains_on_from_weights_and_renders_no_effects_that_nobody_asks_for(workspace, tmp_path):
    file = workspace.weight_file("nano/sound_match")
    apart = replace(workspace, output=tmp_path / "runs", ship=tmp_path / "ship")
    nano_sound_match.run(match_recipe(start=str(file), steps=1, foretell_weight=0.0, learning_rate=0.0), apart)
    before, after = (
        loading.load(path, dtype=torch.float32).state_dict() for path in (file, apart.weight_file("nano/sound_match"))
    )
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not (tmp_path / "runs" / "sound-effects").exists()
    entry = weights.shipped(apart.ship)["nano/sound_match"]
    assert [row["steps"] for row in entry.ancestors] == [2]
    assert entry.steps == 3


def test_clips_in_which_much_is_struck_have_folders_of_their_own_and_may_be_left_out(workspace, tmp_path):
    for name in ("sound-clips", "sound-waves", "sound-text", "bands-of-sounds"):
        assert workspace.folder(f"{name}-struck").is_dir()
    assert {
        scene["motion"]["kind"] for scene in map(read, workspace.folder("sound-clips-struck").rglob("0*.json"))
    } == {"walk"}
    nano_sound_match.run(match_recipe(turns=(1, 0)), replace(workspace, output=tmp_path / "runs"))
    assert not (tmp_path / "runs" / "sound-clips-struck").exists()


def test_parts_of_clips_come_with_the_sound_of_the_same_time(workspace):
    recipe = match_recipe(seconds=1.0)
    data = sound_clips(workspace, CLIPS)
    effects = band_cache(workspace, effects_of(workspace, data), 40, EFFECTS)
    texts = text_cache(workspace, data, recipe.variants)
    caches = {BANDS: band_cache(workspace, data, 40), EFFECTS: effects}
    source = nano_sound_match.Segments(data, caches, texts, recipe)
    for position in range(6):
        batch = source.batch(position)
        assert batch["bands"].shape[1:] == batch["effects"].shape[1:] == (50, 40)
        assert batch["hits"].shape == batch["bands"].shape[:2]
        assert torch.allclose(batch["clock"].sum(dim=2), torch.ones(batch["clock"].shape[:2]))
        assert batch["clock"].shape[2] == batch["pictures"].shape[1]
        again = source.batch(position)
        assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_recipe_without_a_clip_that_is_long_enough_is_refused(workspace):
    data = sound_clips(workspace, CLIPS)
    with pytest.raises(ConfigError, match="add longer ones"):
        nano_sound_match.Segments(data, {}, None, match_recipe(seconds=9.0))


def test_parts_too_short_to_be_moved_are_refused():
    with pytest.raises(ConfigError, match=r"use at least 0\.22 s"):
        match_recipe(seconds=0.2)


def test_audio_recipe_ships_weights_and_how_to_sample_with_them(workspace):
    recipe = audio_recipe()
    nano_audio.run(recipe, workspace)
    entry = weights.shipped(workspace.ship)["nano/audio"]
    assert (entry.network, entry.recipe) == ("audio_dit", "nano-audio")
    advice = {"guidance_scale": 3.0, "temperature": 0.8, "window_seconds": 8.0, "context_seconds": 2.0, "steps": 16}
    assert entry.sampling == advice
    model = loading.load(workspace.weight_file("nano/audio"), dtype=torch.float32)
    assert not torch.equal(model.frames_in.standard.std, torch.ones(288))
    assert list(workspace.folder("nano-audio", "sheets").glob("step-*.png"))


def test_places_that_nobody_sees_come_as_often_as_told_and_leave_their_frames_out(workspace):
    unseen = places(workspace, PLACES, nano_audio.PLACE)
    recipe = audio_recipe()
    part = nano_audio.Heard(unseen, text_cache(workspace, unseen, recipe.variants), latent_cache(workspace, unseen))
    batch = nano_audio.source(replace(recipe, stretch_share=1.0), part, 7).batch(0)
    length = batch["latent"].shape[2]
    assert batch["frames"].shape == (*batch["frames_mask"].shape, 7) == (batch["latent"].shape[0], length, 7)
    assert not batch["frames_mask"].any()
    assert not batch["hits"].any()
    assert set(batch["kind"].tolist()) == {SOUND_KINDS.index("silence")}
    assert not workspace.folder("sound-clips-places").exists()


def test_audio_recipe_trains_on_from_weights_without_the_head(workspace, tmp_path):
    begun = AudioDiT(replace(audio_presets.NANO, head_dim=0))
    begun.reset_parameters()
    begun.frames_in.standard.measure(torch.randn(9, begun.config.frame_dim))
    file = loading.save(begun, tmp_path / "begun.safetensors")
    recipe = audio_recipe(start=str(file), steps=1, learning_rate=0.0)
    nano_audio.run(recipe, replace(workspace, output=tmp_path / "runs"))
    shipped = loading.load(workspace.weight_file("nano/audio"), dtype=torch.float32)
    assert shipped.config.head_dim > 0
    assert [set(parent) for parent in weights.shipped(workspace.ship)["nano/audio"].ancestors] == [{"sha256"}]
    assert shipped.head.down.weight.abs().max() == 0
    for name, value in begun.state_dict().items():
        if not name.startswith("text_in"):  # the whitening of words is folded into it
            assert torch.allclose(shipped.state_dict()[name], value, rtol=1e-3, atol=1e-3), name


class Counted:
    """Two sounds whose latents and frames hold the number of their sound frame."""

    def batch(self, position):
        count = torch.arange(20.0)
        return {
            "latent": count.expand(2, 3, 20), "frames": count[:, None].expand(2, 20, 5), "kind": torch.zeros(2),
            "hits": (count % 3 == 0).expand(2, 20),
        }  # fmt: skip


def test_stretches_cut_sound_and_frames_alike_each_where_it_likes():
    cut = [Stretches(Counted(), 1.0, 0.5, seed=3).batch(position) for position in range(30)]
    lengths = {batch["latent"].shape[2] for batch in cut}
    assert min(lengths) >= 10
    assert len(lengths) > 3
    for batch in cut:
        start = batch["latent"][:, :1, :1]
        assert torch.equal(batch["latent"] - start, torch.arange(batch["latent"].shape[2]).expand(2, 3, -1))
        assert torch.equal(batch["frames"][:, :, 0], batch["latent"][:, 0])
        assert torch.equal(batch["hits"], batch["latent"][:, 0] % 3 == 0)
        assert batch["kind"].shape == (2,)
    assert any(batch["latent"][0, 0, 0] != batch["latent"][1, 0, 0] for batch in cut)


def test_a_share_of_the_batches_is_cut_the_same_again_at_the_same_position():
    whole = [Stretches(Counted(), 0.5, 0.5, seed=3).batch(position) for position in range(40)]
    assert 10 < sum(batch["latent"].shape[2] == 20 for batch in whole) < 32
    again = Stretches(Counted(), 0.5, 0.5, seed=3).batch(7)
    assert torch.equal(again["latent"], whole[7]["latent"])


@pytest.mark.parametrize(("share", "least"), [(1.5, 0.5), (0.5, 0.0), (0.5, 1.1)])
def test_stretches_that_cannot_be_are_refused(share, least):
    with pytest.raises(ConfigError, match="least_stretch"):
        Stretches(Counted(), share, least, seed=0)


def test_frame_features_of_another_match_are_refused(workspace):
    recipe = audio_recipe()
    nano_audio.run(recipe, workspace)
    kept = workspace.weight_file("nano/sound_match").read_bytes()
    try:
        workspace.export("nano/sound_match", catalog.build("sound_match", device="cpu"))
        with pytest.raises(CheckpointError, match="another match"):
            nano_audio.run(recipe, workspace)
    finally:
        file = workspace.ship / "sound_match.safetensors"
        file.write_bytes(kept)
        weights.register("nano/sound_match", file, workspace.ship, network="sound_match")


def test_latents_outlive_a_better_decoder_but_not_another_encoder():
    codec = catalog.build("audio_codec", device="cpu")
    before = encoder_hash(codec)
    with torch.no_grad():
        next(codec.decoder.parameters()).add_(1.0)
        assert encoder_hash(codec) == before
        next(codec.encoder.parameters()).add_(1.0)
    assert encoder_hash(codec) != before


def test_captions_of_training_are_the_template(workspace):
    data = sound_clips(workspace, CLIPS)
    for number in range(len(data)):
        text = caption_of_sound(data.sounds.scene(number), 0)
        assert text.startswith("This audio has quality: ")
        assert "likelihood" in text


def test_sound_judge_hears_a_share_of_the_sounds_through_the_codec(workspace):
    config = SoundConfig(count=4, seconds=1.0, channels=1, first_seed=90)
    sounds = Sounds(workspace.folder("judge-sounds"), config)
    sounds.fill(0, io.StringIO())
    judged = SoundJudgeConfig(classes=nano_sound_judge.CLASSES)
    recipe = nano_sound_judge.SoundJudgeRecipe(batch_size=24, codec_share=0.5)
    plain = nano_sound_judge.labelled(sounds, judged, recipe).batch(0)
    coded = nano_sound_judge.labelled(sounds, judged, recipe, trained_codec(workspace)).batch(0)
    chosen = [int(position_rng(recipe.seed, index).integers(4)) for index in range(24)]
    assert set(chosen) == {0, 1, 2, 3}
    for row, number in enumerate(chosen):
        assert torch.equal(plain["spectrogram"][row], coded["spectrogram"][row]) == (number >= 2)
        assert plain["kind"][row] == coded["kind"][row]
