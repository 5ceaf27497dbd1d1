"""The shipped workflows in a real ComfyUI. Run with `pytest -m comfy`."""

from __future__ import annotations

import json
import time

import pytest
import torch

from moviegen_core.media.movie import read_movie, write_movie


@pytest.mark.parametrize("name", ["text_to_video", "text_to_video_stock_sampler"])
def test_workflow_writes_a_film_that_carries_itself(name, server, info, comfy):
    document = comfy.workflow(name)
    prompt = comfy.api_prompt(document, info, prompt="a red ball", steps=4, length=20, width=48, height=32)
    files = server.run(prompt, document)
    assert [file.suffix for file in files] == [".mp4"]
    movie = read_movie(files[0])
    assert (movie.width, movie.height) == (48, 32)
    assert {"workflow", "prompt"} <= set(movie.metadata)


@pytest.mark.parametrize("name", ["text_to_video", "text_to_video_stock_sampler"])
def test_workflow_runs_on_the_shipped_models(name, server, info, comfy):
    prompt = comfy.api_prompt(comfy.workflow(name), info, shipped=True, steps=6, length=17)
    movie = read_movie(server.run(prompt)[0])
    assert (movie.width, movie.height) == (128, 128)
    pixels = movie.pixels()
    assert pixels.shape[1] >= 17  # stock decoding keeps the whole last latent frame
    assert pixels.std() > 0.1  # not a blank film


def test_picture_workflow_writes_its_batch(server, info, comfy):
    prompt = comfy.api_prompt(comfy.workflow("text_to_image"), info, steps=2, width=48, height=32)
    files = server.run(prompt)
    assert len(files) == 4
    assert all(file.stat().st_size > 0 for file in files)


def test_encoder_that_is_not_there_is_refused_before_anything_runs(server, info, comfy):
    prompt = comfy.api_prompt(comfy.workflow("text_to_video"), info)
    loader = next(node for node in prompt.values() if node["class_type"] == "MovieGenTextEncoderLoader")
    loader["inputs"]["ul2"] = "not_there.safetensors"
    assert "Value not in list" in json.dumps(server.ask("/prompt", {"prompt": prompt}))


def test_leaving_out_every_encoder_is_told_in_our_sentence(server, info, comfy):
    prompt = comfy.api_prompt(comfy.workflow("text_to_video"), info)
    loader = next(node for node in prompt.values() if node["class_type"] == "MovieGenTextEncoderLoader")
    loader["inputs"] = dict.fromkeys(loader["inputs"], "none")
    entry = server.finished(server.queue(prompt))
    [failure] = [told for kind, told in entry["status"]["messages"] if kind == "execution_error"]
    assert "choose at least one text encoder" in failure["exception_message"]


def test_interrupt_stops_a_run_at_once(server, info, comfy):
    prompt = comfy.api_prompt(
        comfy.workflow("text_to_video"), info, seed=99, steps=1000, length=64, width=128, height=128
    )
    prompt_id = server.queue(prompt)
    while not server.ask("/queue")["queue_running"]:
        time.sleep(0.1)
    time.sleep(3)
    started = time.monotonic()
    server.ask("/interrupt", {})
    entry = server.finished(prompt_id)
    assert time.monotonic() - started < 20  # 1000 steps take minutes
    assert "execution_interrupted" in [message[0] for message in entry["status"]["messages"]]


def test_sound_and_picture_tools_need_no_model(server, info, comfy):
    for name, level in (("first", 0.5), ("second", -0.5)):
        noise = 0.2 * torch.randn(3, 12, 32, 48, generator=torch.Generator().manual_seed(0))
        (server.base / "input").mkdir(exist_ok=True)
        write_movie(level + noise, server.base / "input" / f"{name}.mp4", 8, 0.1 * torch.randn(2, 72000))
    document = comfy.workflow("tools_join_clips")
    movie = read_movie(server.run(comfy.api_prompt(document, info), document)[0])
    assert (movie.width, movie.height, movie.fps) == (48, 32, 8)
    assert {"workflow", "prompt"} <= set(movie.metadata)
    assert abs(movie.num_frames - 20) <= 1
    brightness = movie.pixels().mean((0, 2, 3))
    assert brightness[-3:].min() > 0.4  # the second clip took the colours of the first
    assert movie.sample_rate == 48000


@pytest.mark.parametrize("shipped", [False, True])
def test_longer_video_goes_on_from_the_tail_of_its_first_part(shipped, server, info, tmp_path, comfy):
    prompt = comfy.api_prompt(
        comfy.workflow("tools_longer_video"), info, steps=10 if shipped else 3, family="movie_gen", seconds=2.0
    )
    for node in prompt.values():
        # Our models in the place of Wan's; everything else stays as the file says.
        if node["class_type"] == "UNETLoader":
            name = "nano (shipped)" if shipped else "tiny_video.safetensors"
            node |= {"class_type": "MovieGenModelLoader", "inputs": {"model_name": name, "weight_dtype": "auto"}}
        elif node["class_type"] == "CLIPLoader":
            names = {
                role: "nano (shipped)" if shipped else f"tiny_{role}.safetensors"
                for role in ("ul2", "metaclip", "byt5")
            }
            node |= {"class_type": "MovieGenTextEncoderLoader", "inputs": names}
        elif node["class_type"] == "VAELoader":
            name = "nano (shipped)" if shipped else "tiny_tae.safetensors"
            node |= {"class_type": "MovieGenTAELoader", "inputs": {"vae_name": name, "dtype": "auto"}}
        elif node["class_type"] == "EmptyHunyuanLatentVideo":
            # Movie Gen's latents are shorter than Wan's, so its own empty latent.
            side = 128 if shipped else 48
            inputs = {"width": side, "height": side, "length": node["inputs"]["length"], "batch_size": 1}
            node |= {"class_type": "MovieGenEmptyVideoLatent", "inputs": inputs}
        elif node["class_type"] == "CFGGuider":
            node["inputs"]["cfg"] = 4.0
    [film] = server.run(prompt)
    movie = read_movie(film)
    assert movie.num_frames == 32 + 32  # the tail of three latent frames is in both parts and counts once
