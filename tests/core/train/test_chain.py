"""`moviegen train nano`, whole: every recipe in turn with minute sizes, from nothing to a film with sound."""

from __future__ import annotations

import json

import pytest

from moviegen_core import MovieGenPipeline, weights
from moviegen_core.cli import main
from moviegen_core.train.run import names

KINDS = [[32, 16, 2], [40, 20, 1]]
STEPS = {"steps": 2, "minutes": 60}
CROPS = [{"frames": 1, "size": 32, "batch_size": 2}, {"frames": 8, "size": 32, "batch_size": 1}]
STAGE = {**STEPS, "size": 32, "tokens_per_batch": 64}
CLIPS = {"count": 4, "size": 32, "kinds": KINDS}
SOUND_CLIPS = {"count": 4, "size": 32, "kinds": KINDS}
SETTINGS = {
    "nano-text": {
        **{role: {"steps": 2} for role in ("ul2", "metaclip", "byt5")},
        "ul2_batch": 2,
        "metaclip_batch": 2,
        "byt5_batch": 2,
        "frame_pool": 2,
    },
    "nano-tae": {
        "clips": CLIPS,
        "start_clips": 4,
        "statistics_clips": 4,
        **{stage: {**STEPS, "crops": CROPS} for stage in ("joint", "finish", "decoder")},
    },
    "nano-video": {
        "clips": CLIPS,
        "longs": {**CLIPS, "count": 2},
        "stills": {"count": 4, "size": 32},
        **dict.fromkeys(("images", "joint", "long", "best"), STAGE),
    },
    "nano-judge": {**STEPS, "clips": CLIPS, "batch_size": 2},
    "nano-sound-judge": {**STEPS, "sounds": {"count": 3}, "batch_size": 2},
    "nano-sound-match": {**STEPS, "clips": SOUND_CLIPS, "struck": SOUND_CLIPS, "batch_size": 2},
    "nano-codec": {
        "clips": SOUND_CLIPS,
        "start_sounds": 4,
        "statistics_sounds": 4,
        "batch_size": 1,
        **dict.fromkeys(("joint", "decoder"), STEPS),
    },
    "nano-audio": {**STEPS, "clips": SOUND_CLIPS, "struck": SOUND_CLIPS, "tokens_per_batch": 100},
}


def flat(values, path):
    """Nested settings as --set writes them."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}.{name}")
        else:
            yield f"--set={path}.{name}={json.dumps(value)}"


@pytest.mark.slow
def test_make_nano_trains_every_shipped_file_from_nothing_and_resumes(tmp_path, capsys):
    assert set(SETTINGS) == set(names("nano"))
    told = [setting for recipe, values in SETTINGS.items() for setting in flat(values, recipe)]
    command = ["train", "nano", "--output", str(tmp_path / "runs"), "--ship", str(tmp_path / "ship"), *told]
    command += ["--device", "cpu", "--dtype", "float32"]
    assert main(command) == 0, capsys.readouterr().err
    made = weights.shipped(tmp_path / "ship")
    assert {entry.recipe for entry in made.values()} == set(SETTINGS)
    assert set(weights.shipped()) <= set(made)
    pipeline = MovieGenPipeline.from_pretrained(tmp_path / "ship", device="cpu", dtype="float32")
    film = pipeline("a red ball bounces", num_frames=9, height=32, width=32, steps=2, audio_length=9 / 16)
    assert film.facts["guidance_scale"] == made["nano/video"].sampling["guidance_scale"]
    assert film.sound is not None
    assert film.save(tmp_path / "film.mp4").is_file()

    capsys.readouterr()
    assert main(command) == 0, capsys.readouterr().err
    again = weights.shipped(tmp_path / "ship")
    assert {name: entry.sha256 for name, entry in again.items()} == {name: entry.sha256 for name, entry in made.items()}
