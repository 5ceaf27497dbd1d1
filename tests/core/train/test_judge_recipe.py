"""The recipe of the judge: what it is shown, and what it goes on from."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.media.frames import from_uint8
from moviegen_core.models import catalog, loading
from moviegen_core.models.judge.model import JudgeConfig, prepare_clip
from moviegen_core.models.tae import presets
from moviegen_core.models.tae.model import TAE
from moviegen_core.toybox import sample_scene
from moviegen_core.train.clips import ClipConfig
from moviegen_core.train.latents import trained_tae
from moviegen_core.train.recipes import nano_judge


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
    tae = TAE(presets.NANO)
    tae.reset_parameters()
    workspace.export("nano/tae", tae)
    clips = workspace.clips(ClipConfig(count=2, size=32, kinds=((32, 16, 1),), first_seed=7))
    config = JudgeConfig(classes=nano_judge.CLASSES, size=32)
    coded = nano_judge.coded_clips(workspace, clips.first(1), config)
    given = from_uint8(np.array(clips.pixels(0)))[None]
    tae = trained_tae(workspace)
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
