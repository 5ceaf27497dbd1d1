"""Sound in a real ComfyUI, whose folder is $COMFYUI_DIR. Run with `pytest -m comfy`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from films import packets_of

from moviegen_core import weights as shipped
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import read_sound, write_sound
from moviegen_core.media.timeline import timeline

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "audio": "diffusion_models",
    "audio_codec": "vae",
    "metaclip_vision": "clip_vision",
    "sound_match": "audio_encoders",
}
LOADERS = {
    "MovieGenAudioModelLoader": {"model_name": "audio"},
    "MovieGenSoundVAELoader": {"vae_name": "audio_codec"},
    "MovieGenFrameEncodersLoader": {"vision": "metaclip_vision", "motion": "sound_match"},
    "MovieGenModelLoader": {"model_name": "video"},
    "MovieGenTAELoader": {"vae_name": "tae"},
    "MovieGenTextEncoderLoader": {"ul2": "ul2", "metaclip": "metaclip", "byt5": "byt5"},
}
LIMIT = 1e-4


def _base():
    """comfy_server.py: its server and its way from UI to API format."""
    spec = importlib.util.spec_from_file_location("moviegen_comfy_server", Path(__file__).with_name("comfy_server.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


base = _base()
pytestmark = base.pytestmark


@pytest.fixture(scope="module")
def all_weights(weights, sound_weights, tmp_path_factory) -> Path:
    """One folder with every tiny network."""
    folder = tmp_path_factory.mktemp("all_weights")
    for part, path in {**weights, **sound_weights}.items():
        (folder / f"{part}.safetensors").symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def measured(all_weights) -> dict[str, Any]:
    """What tests/nodes/comfy_sound_natives.py measured inside ComfyUI."""
    script = Path(__file__).with_name("comfy_sound_natives.py")
    command = [base.PYTHON, str(script), str(ROOT), str(all_weights)]
    result = subprocess.run(command, cwd=base.COMFYUI, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def server(tmp_path_factory, weights, sound_weights):
    folder = tmp_path_factory.mktemp("comfyui_sound")
    for part, where in FOLDERS.items():
        target = folder / "models" / where / f"tiny_{part}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(sound_weights[part])
    server = base.Server(folder, weights)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(scope="module")
def info(server) -> dict[str, Any]:
    return server.ask("/object_info")


@pytest.fixture(scope="module")
def media(server) -> Path:
    """The server's input folder: the bundled film, one at 29.97 and a stereo sound."""
    folder = server.base / "input"
    folder.mkdir(exist_ok=True)
    (folder / "bouncing_ball.mp4").write_bytes((ROOT / "workflows" / "bouncing_ball.mp4").read_bytes())
    pixels = torch.rand(3, 45, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    write_movie(pixels, folder / "film.mp4", 29.97)
    noise = 0.2 * torch.randn(2, 44_100, generator=torch.Generator().manual_seed(0))
    write_sound(noise, 44100, folder / "noise.wav")
    return folder


def prompt_of(name: str, info: dict[str, Any], tiny: bool = True, **settings: Any) -> dict[str, Any]:
    """A workflow in API format; with `tiny` each shipped network becomes the tiny one of its kind."""
    prompt = base.api_prompt(base.workflow(name), info, shipped=True, **settings)
    for node in prompt.values():
        for widget, part in LOADERS.get(node["class_type"], {}).items() if tiny else ():
            if node["inputs"][widget] == "nano (shipped)":
                node["inputs"][widget] = f"tiny_{part}.safetensors"
    return prompt


def test_sockets_hold_comfyuis_own_classes(measured):
    assert measured["types"] == [True, True]


@pytest.mark.parametrize(
    "check",
    [
        "sound_sampler",
        "sound_sampler_without_negative",
        "less_noise",
        "pictures_apart",
        "pictures_apart_in_blended_windows",
        "pictures_apart_of_words_alone",
        "midpoint",
        "sampler_custom_advanced",
        "ksampler",
    ],
)
def test_our_sampler_stock_samplers_and_the_core_agree(check, measured):
    assert measured[check] <= LIMIT * max(1.0, measured["scale"])


def test_pictures_words_and_guidance_matter(measured):
    moved = ("guidance_matters", "frames_matter", "pictures_apart_matter")
    assert min(measured[one] for one in moved) > 0.1
    without_words, effect = measured["zero_out_leaves_the_pictures"]
    assert without_words <= LIMIT * max(1.0, measured["scale"]) < effect


def test_other_stock_samplers_and_text_nodes_work(measured):
    assert measured["other_samplers_are_finite"]
    assert measured["clip_text_encode"]


def test_lora_reaches_the_weights(measured):
    difference, effect = measured["lora"]
    assert difference <= LIMIT * max(1.0, measured["scale"]) < effect


def test_patch_hooks_are_called_for_every_block_and_step(measured):
    hooks, steps = measured["patch_hooks"], 8
    assert (hooks["double_block"], hooks["replace"], hooks["wrapper"]) == (2 * steps, steps, steps)
    assert hooks["gap"] <= LIMIT * max(1.0, measured["scale"])


def test_core_model_nodes_work_on_the_sound_model(measured):
    moved = measured["model_patches"]
    assert min(moved.values()) >= 0.0
    assert {name for name in ("APG", "CFGZeroStar", "CFGNorm", "SkipLayerGuidanceDiT") if moved[name] < 1e-3} == set()


@pytest.mark.parametrize("method", ["extend", "multidiffusion", "stock"])
def test_long_sound_is_the_cores_with_ours_and_stock_samplers(method, measured):
    assert measured["long_forms"][method] <= LIMIT * max(1.0, measured["scale"])


def test_stock_sampler_extends_window_by_window(measured):
    count, difference, effect = measured["stock_extend"]
    assert count > 2
    assert difference <= LIMIT * max(1.0, measured["scale"]) < effect


def test_stock_context_windows_cut_what_is_seen(measured):
    whole, short = measured["stock_context_windows"]
    assert whole <= LIMIT * max(1.0, measured["scale"]) < short


def test_known_sound_stays_and_is_heard_with_ours_and_stock_samplers(measured):
    known = measured["known"]
    assert known["kept"] == 0.0
    assert max(known["ours"], known["stock"]) <= LIMIT * max(1.0, measured["scale"]) < known["heard"]


def test_frame_encoders_are_loaded_whole(measured):
    assert measured["whole_encoders"] == [{"force_full_load": True}]


def test_best_candidate_is_kept(measured):
    assert measured["candidates"] == 0.0


def test_decoded_sound_has_the_clips_length(measured):
    assert measured["decoded_lengths"] == [120000, 63 * 1920]  # stock decoding keeps the whole last latent frame


def test_sound_to_listen_to_holds_its_workflow(measured):
    [[folder, tags]] = measured["player"]
    assert folder == "temp"
    assert tags == {"prompt": {"1": {"class_type": "MovieGenSoundDecode"}}, "workflow": {"nodes": []}}


def test_weights_can_be_held_in_a_quarter_of_the_memory(measured):
    whole, small, finite = measured["fp8_memory"]
    assert finite
    assert small < 0.3 * whole


def test_wrong_connections_are_answered_in_one_line(measured):
    said = measured["refusals"]
    assert "Empty Sound Latent" in said["video latent"]
    for name in ("another length", "another length with ours", "another length in windows"):
        assert "for this video" in said[name]
    assert "Load Text Encoders" in said["other text"]
    assert "Load Movie Gen Audio Model" in said["video model"]
    assert all(len(text.splitlines()) == 1 for text in said.values())


def test_sampler_shows_pictures_and_stops_within_one_step(measured):
    assert measured["previews_and_interrupt"] == [[1, 8, [512, 128]], [2, 8, [512, 128]]]


def test_encoding_and_decoding_stop_between_chunks(measured):
    assert measured["stock_chunks_and_interrupt"] == {"encoder": [1], "decoder": [1, 1]}


def test_codec_can_be_moved_to_another_device(measured):
    if measured["on_another_device"] is None:
        pytest.skip("this ComfyUI makes no clones for other devices")
    assert measured["on_another_device"] == [True, 0.0]


def test_weights_may_come_after_the_layers(measured):
    empty, sampled, decoded = measured["late_weights"]
    assert empty
    assert sampled == decoded == 0.0


def test_memory_figures_count_the_keys_and_values_that_are_held(measured):
    held, said = measured["held_context"]
    assert 0 < held <= said < 1.2 * held


def test_film_with_sound_comes_from_a_sentence(server, info):
    sizes = {"steps": 3, "sound_steps": 3, "length": 20, "width": 48, "height": 32, "candidates": 2}
    document = base.workflow("text_to_movie")
    [film] = server.run(prompt_of("text_to_movie", info, prompt="a red ball", **sizes), document)
    movie = read_movie(film)
    assert (movie.num_frames, movie.fps) == (20, 16)
    heard, rate = read_sound(film)
    assert rate == 48000
    assert abs(heard.shape[1] - 60000) <= 1024
    assert heard.std() > 1e-4
    assert {"workflow", "prompt"} <= set(movie.metadata)


def test_any_video_gets_a_sound_and_keeps_its_picture(server, info, media):
    prompt = prompt_of("sound_for_any_video", info, film="film.mp4", steps=3, candidates=2)
    [film] = server.run(prompt)
    made, given = packets_of(film).packets, packets_of(media / "film.mp4").packets
    assert [one[:2] for one in made] == [one[:2] for one in given]
    assert timeline(film).seconds == timeline(media / "film.mp4").seconds
    heard, rate = read_sound(film)
    assert abs(heard.shape[1] - round(45 * 1001 / 30000 * rate)) <= 1024
    assert heard.std() > 1e-4


def test_words_become_a_sound_to_the_sample(server, info):
    [file] = base.saved_sounds(server, prompt_of("text_to_sound", info, prompt="rain", seconds=1.37, steps=3))
    heard, rate = read_sound(file)
    assert heard.shape == (2, round(1.37 * rate))


def test_long_sound_is_made_in_windows(server, info):
    settings = {"seconds": 6.5, "steps": 3, "window_seconds": 2.0, "context_seconds": 0.5}
    [file] = base.saved_sounds(server, prompt_of("long_sound", info, **settings))
    heard, rate = read_sound(file)
    assert heard.shape[1] == round(6.5 * rate)
    assert heard[:, -rate:].std() > 1e-4


def test_cut_video_is_heard_from_its_cut_on(server, info, media):
    if "Video Slice" not in info:
        pytest.skip("this ComfyUI has no Video Slice")
    prompt = prompt_of("sound_for_any_video", info, film="film.mp4", steps=3, candidates=1)
    video = next(key for key, node in prompt.items() if node["class_type"] == "LoadVideo")
    cut = {"video": [video, 0], "start_time": 0.5, "duration": 0.5, "strict_duration": False}
    for node in prompt.values():
        if node["inputs"].get("video") == [video, 0]:
            node["inputs"]["video"] = ["99", 0]
    prompt["99"] = base.call("Video Slice", **cut)
    [film] = server.run(prompt)
    assert read_movie(film).duration_seconds == pytest.approx(0.5, abs=0.05)
    assert read_sound(film)[0].std() > 1e-4


def test_sound_is_extended_with_a_stock_sampler(server, info, media):
    prompt = prompt_of("text_to_sound", info, prompt="rain")
    keys = {node["class_type"]: key for key, node in prompt.items()}
    ask, vae = keys["MovieGenVideoToSound"], keys["MovieGenSoundVAELoader"]
    prompt["90"] = base.call("LoadAudio", audio="noise.wav")
    prompt["91"] = base.call(
        "MovieGenExtendSound", audio=["90", 0], vae=[vae, 0], seconds=0.5, direction="forwards", context_seconds=5.0
    )
    prompt["92"] = base.call(
        "KSampler", model=[keys["MovieGenAudioModelLoader"], 0], positive=[ask, 0], negative=[ask, 1],
        latent_image=["91", 0], seed=1, steps=4, cfg=3.0, sampler_name="euler", scheduler="simple", denoise=1.0,
    )  # fmt: skip
    prompt[keys["MovieGenSoundDecode"]]["inputs"]["samples"] = ["92", 0]
    del prompt[keys["MovieGenSoundSampler"]]
    [file] = base.saved_sounds(server, prompt)
    heard, _ = read_sound(file)
    given, rate = read_sound(media / "noise.wav")
    assert heard.shape == (2, 72000)
    from moviegen_core.media.waveform import resample

    kept = resample(given, rate, 48000)[:, : 48000 - 2400]
    assert (heard[:, : kept.shape[1]] - kept).abs().max() < 1e-3


def test_interrupt_stops_a_sound_at_once(server, info):
    prompt_id = server.queue(prompt_of("text_to_sound", info, seed=99, steps=1000, seconds=120.0))
    while not server.ask("/queue")["queue_running"]:
        time.sleep(0.1)
    time.sleep(2)
    started = time.monotonic()
    server.ask("/interrupt", {})
    entry = server.finished(prompt_id)
    assert time.monotonic() - started < 20
    assert "execution_interrupted" in [message[0] for message in entry["status"]["messages"]]


def test_silent_film_and_missing_encoders_are_answered_in_one_line(server, info, media):
    prompt = prompt_of("sound_for_any_video", info, film="film.mp4", steps=1, candidates=1)
    keys = {node["class_type"]: key for key, node in prompt.items()}
    del prompt[keys["MovieGenVideoToSound"]]["inputs"]["frame_encoders"]
    entry = server.finished(server.queue(prompt))
    [message] = [body["exception_message"] for kind, body in entry["status"]["messages"] if kind == "execution_error"]
    assert "connect Load Frame Encoders" in message
    assert len(message.strip().splitlines()) == 1


@pytest.mark.skipif("nano/audio" not in shipped.shipped(), reason="nano/audio is not shipped yet")
def test_shipped_models_hear_the_bundled_film(server, info, media):
    [film] = server.run(prompt_of("sound_for_any_video", info, tiny=False, steps=16, candidates=2))
    heard, rate = read_sound(film)
    assert abs(heard.shape[1] - 4 * rate) <= 1024
    assert heard.std() > 1e-3
