"""The recipe that adapts a model to films: from a folder to a file that changes what the model films."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from moviegen_core.cli import main
from moviegen_core.errors import CheckpointError, ConfigError, MediaError, ShapeError
from moviegen_core.media.movie import write_movie
from moviegen_core.models import loading
from moviegen_core.pipelines.movie import MovieGenPipeline
from moviegen_core.train import run, state
from moviegen_core.train.recipes import RECIPES
from moviegen_core.train.shots import Films, Scenes, ShotConfig

FORM = ShotConfig(frames=8, fps=16, height=32, width=32)
SMALL = {
    "shots.frames": "8", "shots.height": "32", "shots.width": "32", "rank": "2", "steps": "3", "tokens_per_batch": "16",
    "learning_rate": "0.05",
}  # fmt: skip
CLIP = {"num_frames": 8, "height": 32, "width": 32, "steps": 2, "guidance_scale": 3.0}


def grey(levels):
    """A window [3, T, 48, 64] of even frames."""
    return torch.tensor(levels).view(1, -1, 1, 1).expand(3, -1, 48, 64).contiguous()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of two shots and a bit at twice the rate, one of half a shot, and a picture."""
    folder = tmp_path_factory.mktemp("films")
    write_movie([grey([index / 36 - 0.5 for index in range(36)])], folder / "long.mp4", 32, crf=1)
    write_movie([grey([0.5] * 4)], folder / "short.mp4", Fraction(16), crf=1)
    Image.new("RGB", (40, 40), "blue").save(folder / "still.png")
    for name in ("long", "short", "still"):
        (folder / f"{name}.txt").write_text(f"\ufeffa {name}\nball", encoding="utf-8")
    (folder / "notes.md").write_text("not a film")
    return folder


def train(output, model, resume=True, **settings):
    """`moviegen train lora` with tiny sizes -> the file."""
    told = {**SMALL, "model": str(model), **settings}
    run.run("lora", output, resume=resume, settings=told, device="cpu", dtype="fp32")
    return output / "lora" / f"{settings.get('name', 'lora')}.safetensors"


@pytest.fixture(scope="module")
def trained(films, film_folder, tmp_path_factory):
    """A LoRA of the films."""
    return train(tmp_path_factory.mktemp("run"), film_folder, films=str(films))


def test_films_are_cut_into_shots_at_the_asked_rate_and_size(films):
    shots = Films(films, FORM)
    assert shots.captions == [["a long ball"], ["a long ball"], ["a short ball"], ["a still ball"]]
    first, second, short, still = shots.pixels(range(4))
    assert first.shape == second.shape == (3, 8, 32, 32)
    assert (short.shape, still.shape) == ((3, 4, 32, 32), (3, 1, 32, 32))
    # 36 frames at 32 a second are 18 at 16: every second one, from the second on.
    wanted = torch.tensor([(2 * index + 1) / 36 - 0.5 for index in range(16)])
    torch.testing.assert_close(torch.cat([first, second], 1).mean(dim=(0, 2, 3)), wanted, atol=0.03, rtol=0)
    assert still[2].min() > 0.9
    assert torch.equal(next(shots.pixels([1])), second)


def test_film_of_varying_rate_is_cut_by_its_moments(tmp_path):
    stamps = [*range(0, 400, 50), *range(1000, 1400, 50)]  # milliseconds; a pause of 0.6 s in between
    with av.open(str(tmp_path / "film.mkv"), mode="w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for stamp in stamps:
            picture = np.full((32, 48, 3), 20 + stamp // 8, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shots = Films(tmp_path, FORM, default="a ramp")
    assert len(shots.shots) == 2
    levels = torch.cat(list(shots.pixels([0, 1])), 1).mean(dim=(0, 2, 3))
    shown = [max(stamp for stamp in stamps if stamp <= (number + 0.5) * 1000 / 16) for number in range(16)]
    torch.testing.assert_close(levels, (20 + torch.tensor(shown) // 8) / 127.5 - 1, atol=0.03, rtol=0)


def test_a_film_gives_no_more_shots_than_asked(films):
    assert len(Films(films, FORM, per_film=1).captions) == 3


def test_one_caption_serves_all_files_without_a_text(films, tmp_path):
    (tmp_path / "still.png").symlink_to(films / "still.png")
    assert Films(tmp_path, FORM, default="a thing").captions == [["a thing"]]
    with pytest.raises(ConfigError, match=r"write what it shows into still\.txt"):
        Films(tmp_path, FORM)


def test_film_that_another_of_its_size_replaced_is_told_as_changed(tmp_path, film_folder):
    still = tmp_path / "films" / "still.png"
    still.parent.mkdir()
    told = {"films": str(still.parent), "caption": "a thing", "steps": "1"}
    sizes = []
    for level in (100, 200):
        Image.new("RGB", (40, 40), (level, level, level)).save(still.with_suffix(".bmp"), "bmp")
        still.with_suffix(".bmp").rename(still)
        sizes.append(still.stat().st_size)
        if level == 100:
            train(tmp_path, film_folder, **told)
    assert sizes[0] == sizes[1]
    with pytest.raises(CheckpointError, match="another films; delete the folder, or train anew with --no-resume"):
        train(tmp_path, film_folder, **told)
    assert train(tmp_path, film_folder, resume=False, **told).is_file()


def test_toybox_scenes_are_chosen_by_a_word_of_their_caption():
    scenes = Scenes(3, FORM, about="duck")
    assert all("duck" in captions[0] for captions in scenes.captions)
    assert next(scenes.pixels([2])).shape == (3, 8, 32, 32)
    with pytest.raises(ConfigError, match=r"choose a word of docs/toybox\.md"):
        Scenes(1, FORM, about="zeppelin")


def test_folder_without_films_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="add some"):
        Films(tmp_path, FORM)
    with pytest.raises(ConfigError, match="is no folder"):
        Films(tmp_path / "absent", FORM)


def test_damaged_picture_is_named(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(MediaError, match=r"torn\.png cannot be read as a picture"):
        next(Films(tmp_path, FORM, default="a thing").pixels([0]))


def test_sixteen_bit_grey_keeps_its_shades(tmp_path):
    steps = np.array([0, 16384, 32768, 65535], dtype=np.uint16)
    Image.fromarray(steps.repeat(16).reshape(1, 64).repeat(64, 0)).save(tmp_path / "grey.png")
    (shown,) = Films(tmp_path, ShotConfig(frames=1, height=64, width=64), default="a thing").pixels([0])
    wanted = torch.tensor([0, 64, 128, 255]) / 127.5 - 1.0
    torch.testing.assert_close(shown[:, 0, 32, 8::16], wanted.expand(3, 4))


def test_file_adapts_every_linear_layer_of_the_blocks_and_says_of_what(trained):
    header = loading.read_header(trained)
    assert (header.metadata["adapts"], header.metadata["steps"]) == ("video_dit", "3")
    assert len(header.shapes) == 3 * 11 * 2
    assert header.shapes["diffusion_model.blocks.1.mlp.down.lora_A.weight"] == (2, 48)


def test_training_leaves_pictures_of_the_first_captions(trained):
    sheets = sorted(path.name for path in (trained.with_suffix("") / "sheets").iterdir())
    assert sheets == [f"step-000003-{number}.png" for number in range(len(sheets))]
    assert sheets


@pytest.mark.parametrize("strength", [1e9, float("nan")])
def test_strength_that_no_lora_has_is_refused(trained, film_folder, strength):
    pipeline = MovieGenPipeline.from_pretrained(film_folder, device="cpu", dtype="fp32")
    with pytest.raises(ConfigError, match=r"use a number from -.*, 1 for the file as it is"):
        pipeline.add_lora(trained, strength)


def test_lora_changes_the_film_and_can_be_taken_away_again(trained, film_folder):
    pipeline = MovieGenPipeline.from_pretrained(film_folder, device="cpu", dtype="fp32")
    plain = pipeline("a ball", **CLIP).latent
    adapted = pipeline.add_lora(trained)("a ball", **CLIP).latent
    assert (adapted - plain).abs().max() > 1e-3
    torch.testing.assert_close(pipeline.add_lora(trained, -1.0)("a ball", **CLIP).latent, plain, atol=1e-3, rtol=1e-3)


def test_lora_fits_what_it_was_trained_on_better(films, film_folder, tmp_path):
    path = train(tmp_path, film_folder, films=str(films), steps="40")
    losses = [json.loads(line) for line in (tmp_path / "lora" / "lora" / "metrics.jsonl").read_text().splitlines()]
    assert losses
    pipeline = MovieGenPipeline.from_pretrained(film_folder, device="cpu", dtype="fp32")
    first = _loss(pipeline, tmp_path)
    assert _loss(pipeline.add_lora(path), tmp_path) < 0.9 * first


def _loss(pipeline, output):
    from moviegen_core.train.cache import ShardCache
    from moviegen_core.train.latents import samples
    from moviegen_core.train.objectives.video import flow_matching

    folder = output / "lora" / "lora"
    caches = []
    for name in ("latents", "texts"):
        facts = json.loads((folder / name / "manifest.json").read_text())
        size = facts.pop("shard_size")
        caches.append(ShardCache(folder / name, 4, facts, size))
    source = samples(range(4), *caches, variants=1, tokens_per_batch=16, seed=0)
    with torch.no_grad():
        return sum(
            float(flow_matching(pipeline.video, source.batch(at), torch.Generator().manual_seed(at))["loss"])
            for at in range(12)
        )


def test_checkpoint_holds_the_adapters_alone(trained):
    saved = state.load(trained.with_suffix("") / "checkpoint.pt")
    assert saved["module"]
    assert all(".down." in name or ".up." in name for name in saved["module"])


def test_stopped_run_goes_on_to_the_same_adapters(films, film_folder, tmp_path, monkeypatch, trained):
    from moviegen_core.train import loop

    step = loop.Trainer._optimise

    def stop_after_two(self, batches):
        step(self, batches)
        if self.step == 2:
            self.save()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_optimise", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, film_folder, films=str(films))
    resumed, whole = (
        loading.read_tensors(loading.read_header(path))
        for path in (train(tmp_path, film_folder, films=str(films)), trained)
    )
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_another_rank_under_the_same_name_is_refused(trained, films, film_folder):
    with pytest.raises(CheckpointError, match=r"another rank; choose another --set name="):
        train(trained.parents[1], film_folder, films=str(films), rank="3")


def test_training_anew_encodes_again_only_what_changed(film_folder, tmp_path):
    latents, texts = (tmp_path / "lora" / "lora" / name / "00000.safetensors" for name in ("latents", "texts"))
    train(tmp_path, film_folder, scenes="1")
    before = latents.stat().st_mtime_ns, texts.stat().st_mtime_ns
    train(tmp_path, film_folder, resume=False, scenes="1", rank="3")
    assert (latents.stat().st_mtime_ns, texts.stat().st_mtime_ns) == before
    train(tmp_path, film_folder, resume=False, scenes="1", **{"shots.width": "48"})
    assert latents.stat().st_mtime_ns != before[0]
    assert texts.stat().st_mtime_ns == before[1]


def test_clip_that_the_model_cannot_hold_is_refused_before_the_work(films, film_folder, tmp_path):
    with pytest.raises(ShapeError, match="use 1 to 48"):
        train(tmp_path, film_folder, films=str(films), **{"shots.frames": "4000"})
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_was_wrong_at_the_first_try_is_corrected_under_the_same_name(film_folder, tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    Image.new("RGB", (40, 40), "blue").save(films / "still.png")
    with pytest.raises(ConfigError, match="give one caption for all"):
        train(tmp_path, film_folder, films=str(films))
    with pytest.raises(ConfigError, match="steps is 0, but must be above 0"):
        train(tmp_path, film_folder, films=str(films), caption="a thing", steps="0")
    assert train(tmp_path, film_folder, films=str(films), caption="a thing", steps="1").is_file()


@pytest.mark.parametrize("name", ["per_film", "scenes", "rank", "shots.frames", "shots.height", "shots.width"])
def test_sizes_below_one_are_refused(film_folder, tmp_path, name):
    with pytest.raises(ConfigError, match=f"{name.rpartition('.')[2]} is 0, but must be at least 1"):
        train(tmp_path, film_folder, **{name: "0"})


def test_name_that_is_no_file_name_is_refused(film_folder, tmp_path):
    with pytest.raises(ConfigError, match="must be a file name"):
        train(tmp_path, film_folder, name="../lora")


def test_lora_is_no_part_of_what_nano_trains():
    assert "lora" in RECIPES
    assert "lora" not in run.names("nano")


def test_command_trains_on_the_toybox_and_make_films_with_it(film_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    told = {**SMALL, "model": str(film_folder), "scenes": "2", "about": "ball", "name": "balls"}
    settings = [part for name, value in told.items() for part in ("--set", f"{name}={value}")]
    place = ["--device", "cpu", "--dtype", "fp32"]
    assert main(["train", "lora", "--output", str(tmp_path), *settings, *place]) == 0
    lora = tmp_path / "lora" / "balls.safetensors"
    size = ["--frames", "8", "--height", "32", "--width", "32", "--steps", "2", "--no-sound", *place]
    made = []
    for name, options in (("plain", []), ("adapted", ["--lora", f"{lora}=0.5"])):
        target = tmp_path / f"{name}.mp4"
        assert main(["make", "a ball", "--model", str(film_folder), *size, *options, "-o", str(target)]) == 0
        made.append(target.read_bytes())
    assert made[0] != made[1]


def test_make_refuses_a_lora_that_is_not_there_or_of_another_model(film_folder, tmp_path, capsys):
    arguments = ["make", "a ball", "--model", str(film_folder), "-o", str(tmp_path / "film.mp4")]
    assert main([*arguments, "--lora", "absent.safetensors=2"]) == 2
    assert "there is no file absent.safetensors" in capsys.readouterr().err
    other = loading.write_tensors(
        {"diffusion_model.x.lora_A.weight": torch.ones(1, 2), "diffusion_model.x.lora_B.weight": torch.ones(2, 1)},
        tmp_path / "other.safetensors",
    )
    assert main([*arguments, "--lora", str(other)]) == 2
    assert "does not adapt this network" in capsys.readouterr().err
