"""The pack in a real ComfyUI: its folder is $COMFYUI_DIR, its Python $COMFYUI_PYTHON. Run with `pytest -m comfy`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from moviegen_core.media.loudness import integrated_loudness
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import read_sound, write_sound

ROOT = Path(__file__).parents[2]
COMFYUI = os.environ.get("COMFYUI_DIR", "")
PYTHON = os.environ.get("COMFYUI_PYTHON", sys.executable)
FOLDERS = {"video": "diffusion_models", "tae": "vae", "ul2": "text_encoders"}
FOLDERS |= {"metaclip": "text_encoders", "byt5": "text_encoders"}
CONTROL = {"fixed", "increment", "decrement", "randomize"}

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(not COMFYUI, reason="needs a ComfyUI folder in $COMFYUI_DIR")]


@pytest.fixture(scope="module")
def measured(weights) -> dict[str, Any]:
    """What tests/nodes/comfy_natives.py measured inside ComfyUI."""
    script = Path(__file__).with_name("comfy_natives.py")
    command = [PYTHON, str(script), str(ROOT), str(Path(weights["video"]).parent)]
    result = subprocess.run(command, cwd=COMFYUI, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


class Server:
    """ComfyUI's server on an empty base folder that holds only this pack and tiny weights."""

    def __init__(self, base: Path, weights: dict[str, str]) -> None:
        self.base = base
        for part, folder in FOLDERS.items():
            target = base / "models" / folder / f"tiny_{part}.safetensors"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(weights[part])
        (base / "custom_nodes").mkdir()
        (base / "custom_nodes" / "ComfyUI-MovieGen").symlink_to(ROOT)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = base / "log.txt"
        command = [PYTHON, "main.py", "--cpu", "--base-directory", str(base), "--port", str(port)]
        command += ["--disable-api-nodes", "--preview-method", "latent2rgb"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT)

    def ask(self, path: str, body: Any = None) -> Any:
        """GET, or POST of a JSON body -> parsed answer; a refusal's body too."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            text = refusal.read()
        return json.loads(text) if text else None

    def wait_until_up(self) -> None:
        for _ in range(2000):
            try:
                self.ask("/system_stats")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                time.sleep(0.3)
        raise AssertionError(self.log.read_text()[-3000:])

    def queue(self, prompt: dict[str, Any], workflow: Any = None) -> str:
        """Queue a prompt -> its id; every node must pass validation."""
        answer = self.ask("/prompt", {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": workflow}}})
        assert not answer.get("error"), answer
        assert not answer.get("node_errors"), answer
        return answer["prompt_id"]

    def finished(self, prompt_id: str, seconds: float = 120) -> dict[str, Any]:
        """The history entry, once there is one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            history = self.ask(f"/history/{prompt_id}")
            if history:
                return history[prompt_id]
            time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-3000:])

    def run(self, prompt: dict[str, Any], workflow: Any = None) -> list[Path]:
        """Run to the end -> written files."""
        entry = self.finished(self.queue(prompt, workflow))
        assert entry["status"]["status_str"] == "success", entry["status"]
        outputs = (one for node in entry["outputs"].values() for one in node.get("images", []))
        return [self.base / "output" / one["subfolder"] / one["filename"] for one in outputs if one["type"] == "output"]


@pytest.fixture(scope="module")
def server(tmp_path_factory, weights):
    server = Server(tmp_path_factory.mktemp("comfyui"), weights)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(scope="module")
def info(server) -> dict[str, Any]:
    return server.ask("/object_info")


def api_prompt(
    document: dict[str, Any], info: dict[str, Any], *, shipped: bool = False, **settings: Any
) -> dict[str, Any]:
    """UI format -> API format, as the frontend does it; the models become the tiny ones unless `shipped`."""
    links = {link[0]: [str(link[1]), link[2]] for link in document["links"]}
    prompt = {}
    for node in document["nodes"]:
        if node["type"] == "MarkdownNote":
            continue
        declared = {**info[node["type"]]["input"]["required"], **info[node["type"]]["input"].get("optional", {})}
        values, inputs = list(node.get("widgets_values") or []), {}
        for name, spec in declared.items():
            is_widget = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            if (is_widget or spec[0].startswith("COMFY_DYNAMICCOMBO")) and values:
                inputs[name] = values.pop(0)
                if inputs[name] == "nano (shipped)" and not shipped:
                    part = {"model_name": "video", "vae_name": "tae"}.get(name, name)
                    inputs[name] = f"tiny_{part}.safetensors"
                if values and values[0] in CONTROL:
                    values.pop(0)
        inputs |= {one["name"]: links[one["link"]] for one in node["inputs"] if one.get("link") is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for name, value in settings.items():
        node_id, widget = document["extra"]["moviegen"]["settings"][name]
        prompt[str(node_id)]["inputs"][widget] = value
    return prompt


def workflow(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))


def test_pack_loads_without_a_warning(server):
    lines = server.log.read_text().splitlines()
    loaded = [line for line in lines if "seconds" in line and "ComfyUI-MovieGen" in line]
    assert len(loaded) == 1
    assert "FAILED" not in loaded[0]
    words = ("moviegen", "movie gen")
    assert [line for line in lines if any(word in line.lower() for word in words) and line not in loaded] == []


def test_every_input_and_output_is_explained(info):
    ours = {name: node for name, node in info.items() if node["python_module"] == "custom_nodes.ComfyUI-MovieGen"}
    assert len(ours) >= 20
    for name, node in ours.items():
        inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
        assert all(options[1].get("tooltip") for options in inputs.values()), name
        assert all(node["output_tooltips"]), name
        assert node["description"], name
        assert node["search_aliases"], name


def test_users_files_stand_beside_the_shipped_ones(info):
    combo = info["MovieGenModelLoader"]["input"]["required"]["model_name"]
    assert {"nano (shipped)", "tiny_video.safetensors"} <= set(combo[1].get("options") or combo[0])


def test_help_pages_are_served(server):
    with urllib.request.urlopen(f"{server.url}/extensions/ComfyUI-MovieGen/docs/MovieGenVideoSampler.md") as answer:
        assert answer.read().decode().startswith("# Video Sampler")


@pytest.mark.parametrize("name", ["text_to_video", "text_to_video_stock_sampler"])
def test_workflow_writes_a_film_that_carries_itself(name, server, info):
    document = workflow(name)
    prompt = api_prompt(document, info, prompt="a red ball", steps=4, length=20, width=48, height=32)
    files = server.run(prompt, document)
    assert [file.suffix for file in files] == [".mp4"]
    movie = read_movie(files[0])
    assert (movie.width, movie.height) == (48, 32)
    assert {"workflow", "prompt"} <= set(movie.metadata)


@pytest.mark.parametrize("name", ["text_to_video", "text_to_video_stock_sampler"])
def test_workflow_runs_on_the_shipped_models(name, server, info):
    prompt = api_prompt(workflow(name), info, shipped=True, steps=6, length=17)
    movie = read_movie(server.run(prompt)[0])
    assert (movie.width, movie.height) == (128, 128)
    pixels = movie.pixels()
    assert pixels.shape[1] >= 17  # stock decoding keeps the whole last latent frame
    assert pixels.std() > 0.1  # not a blank film


def test_picture_workflow_writes_its_batch(server, info):
    prompt = api_prompt(workflow("text_to_image"), info, steps=2, width=48, height=32)
    files = server.run(prompt)
    assert len(files) == 4
    assert all(file.stat().st_size > 0 for file in files)


def test_missing_encoders_are_refused_before_anything_runs(server, info):
    prompt = api_prompt(workflow("text_to_video"), info)
    loader = next(node for node in prompt.values() if node["class_type"] == "MovieGenTextEncoderLoader")
    loader["inputs"] = dict.fromkeys(loader["inputs"], "none")
    assert "choose at least one text encoder" in json.dumps(server.ask("/prompt", {"prompt": prompt}))


def test_interrupt_stops_a_run_at_once(server, info):
    prompt = api_prompt(workflow("text_to_video"), info, seed=99, steps=1000, length=64, width=128, height=128)
    prompt_id = server.queue(prompt)
    while not server.ask("/queue")["queue_running"]:
        time.sleep(0.1)
    time.sleep(3)
    started = time.monotonic()
    server.ask("/interrupt", {})
    entry = server.finished(prompt_id)
    assert time.monotonic() - started < 20  # 1000 steps take minutes
    assert "execution_interrupted" in [message[0] for message in entry["status"]["messages"]]


def test_sockets_hold_comfyuis_own_classes(measured):
    assert measured["types"] == [True, True, True]


@pytest.mark.parametrize(
    "check",
    ["video_sampler", "sampler_custom_advanced", "zero_out_is_null", "concatenated_conditioning", "ksampler"],
)
def test_our_euler_and_comfyuis_agree(check, measured):
    assert measured[check] <= 1e-4 * max(1.0, measured["scale"])


def test_negative_makes_no_difference_without_guidance(measured):
    assert measured["video_sampler_without_guidance"] == 0.0


def test_midpoint_is_another_solver(measured):
    assert 0 < measured["midpoint_moves_the_result"] < 5 * measured["scale"]


def test_core_scheduler_is_a_special_case_of_ours(measured):
    assert measured["basic_scheduler"] <= 1e-6


def test_clip_text_encode_gives_what_our_node_gives(measured):
    assert measured["text_encode"] == 0.0


def test_other_stock_samplers_and_conditioning_nodes_work(measured):
    assert measured["other_samplers_are_finite"]
    assert measured["averaged_conditioning_is_finite"]


def test_stock_vae_nodes_decode_and_encode(measured):
    assert measured["vae_decode"] <= 1e-5
    assert measured["vae_decode_shape"] == [24, 32, 48, 3]
    assert measured["vae_decode_tiled_shape"] == [72, 96, 128, 3]
    assert measured["vae_encode"] <= 1e-5
    assert measured["vae_encode_shape"] == [1, 16, 3, 4, 6]


def test_lora_reaches_the_weights(measured):
    difference, effect = measured["lora"]
    assert difference <= 1e-4 * max(1.0, measured["scale"]) < effect


def test_patch_hooks_are_called_for_every_block_and_step(measured):
    hooks = measured["patch_hooks"]
    steps = 8  # of comfy_natives.py; both conditions share one batch
    assert (hooks["double_block"], hooks["replace"], hooks["wrapper"]) == (2 * steps, steps, steps)
    assert hooks["gap"] <= 1e-4 * max(1.0, measured["scale"])


def test_core_model_nodes_work_on_our_model(measured):
    moved = measured["model_patches"]
    assert min(moved.values()) >= 0.0
    # Sigmas of our own node ignore a model's shift.
    assert moved["ModelSamplingSD3"] <= 1e-4 * max(1.0, measured["scale"])
    changing = ("APG", "CFGZeroStar", "CFGNorm", "SkipLayerGuidanceDiT", "TCFG", "RescaleCFG")
    assert {name for name in changing if moved[name] < 1e-3} == set()


def test_sizes_that_are_no_whole_patches_are_padded(measured):
    assert measured["odd_sizes"] == [1, 16, 2, 3, 5]


def test_stock_empty_latents_are_fitted(measured):
    assert measured["empty_latent_of_a_picture_model"] == [2, 16, 1, 4, 6]


def test_context_of_another_family_is_refused(measured):
    assert "Load Text Encoders (Movie Gen)" in measured["context_of_another_family"]


def test_sampler_shows_pictures_and_stops_within_one_step(measured):
    shown = measured["previews_and_interrupt"]
    assert [value for value, _, _ in shown] == [1, 2]
    assert all(picture == [3 * 6 * 8, 4 * 8] for _, _, picture in shown)


def test_sound_and_picture_tools_need_no_model(server, info):
    for name, level in (("first", 0.5), ("second", -0.5)):
        noise = 0.2 * torch.randn(3, 12, 32, 48, generator=torch.Generator().manual_seed(0))
        (server.base / "input").mkdir(exist_ok=True)
        write_movie(level + noise, server.base / "input" / f"{name}.mp4", 8, 0.1 * torch.randn(2, 72000))
    document = workflow("tools_join_clips")
    movie = read_movie(server.run(api_prompt(document, info), document)[0])
    assert (movie.width, movie.height, movie.fps) == (48, 32, 8)
    assert {"workflow", "prompt"} <= set(movie.metadata)
    assert abs(movie.num_frames - 20) <= 1
    brightness = movie.pixels().mean((0, 2, 3))
    assert brightness[-3:].min() > 0.4  # the second clip took the colours of the first
    assert movie.sample_rate == 48000


@pytest.mark.parametrize("shipped", [False, True])
def test_longer_video_goes_on_from_the_tail_of_its_first_part(shipped, server, info, tmp_path):
    prompt = api_prompt(
        workflow("tools_longer_video"), info, steps=10 if shipped else 3, family="movie_gen", seconds=2.0
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


def test_texts_in_every_language_and_the_blueprint_are_served(server):
    texts = server.ask("/i18n")
    for language in ("en", "zh", "ja", "fr", "de", "es"):
        assert texts[language]["nodeDefs"]["MovieGenVideoSampler"]["inputs"]["cfg"]["tooltip"]
    ours = [one for one in server.ask("/global_subgraphs").values() if one["name"] == "Text to Video (Movie Gen)"]
    assert len(ours) == 1


def test_any_sampler_shows_a_strip_of_the_clip(measured):
    assert measured["stock_preview"] == [4 * 6, 4]  # four frames side by side, one pixel a latent


def test_decode_to_video_streams_our_autoencoder_and_others(measured):
    assert measured["decode_to_video"] == {"ours": 56, "causal": 33, "picture": 3}
    assert measured["decode_to_video_gap"] < 0.03


def test_renamed_nodes_are_replaced(measured):
    assert measured["node_replacement"] == ["MovieGenPlanFrames", {"seconds": 2.0, "family": "wan"}]


@pytest.fixture(scope="module")
def media(server) -> Path:
    """The server's input folder, with a film of 36 noisy frames at 29.97, a silent one and a mono sound of 0.5 s."""
    folder = server.base / "input"
    folder.mkdir(exist_ok=True)
    pixels = torch.rand(3, 36, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tone = 0.3 * (torch.arange(60_000) / 8).sin()[None]
    write_movie(pixels, folder / "film.mp4", 29.97, waveform=tone)
    write_movie(pixels, folder / "silent.mp4", 29.97)
    write_sound(tone[:, :22_050], 44100, folder / "music.wav")
    return folder


def picture_packets(path: Path) -> list[tuple[bytes, Any]]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [(bytes(one), one.pts * stream.time_base) for one in container.demux(stream) if one.size]


def saved_sounds(server: Server, prompt: dict[str, Any]) -> list[Path]:
    entry = server.finished(server.queue(prompt))
    assert entry["status"]["status_str"] == "success", entry["status"]
    outputs = (one for node in entry["outputs"].values() for one in node.get("audio", []))
    return [server.base / "output" / one["subfolder"] / one["filename"] for one in outputs if one["type"] == "output"]


def call(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def test_finished_sound_leaves_every_picture_packet_as_it_was(server, info, media):
    import av

    document = workflow("finish_audio")
    [written] = server.run(api_prompt(document, info), document)
    assert picture_packets(written) == picture_packets(media / "film.mp4")
    with av.open(str(written)) as container:
        assert abs(container.duration / 1_000_000 - 36 * 1001 / 30000) <= 1024 / 48000
    heard, rate = read_sound(written)
    assert abs(heard.shape[1] - round(36 * 1001 / 30000 * rate)) <= 1024
    assert integrated_loudness(heard, rate) == pytest.approx(-14.0, abs=0.5)
    assert {"workflow", "prompt"} <= set(read_movie(written).metadata)


def test_sound_fits_frames_and_videos_to_the_sample(server, media):
    prompt = {
        "1": call("LoadAudio", audio="music.wav"),
        "2": call("EmptyImage", width=16, height=16, batch_size=31, color=0),
        "3": call("MovieGenFitAudio", audio=["1", 0], images=["2", 0], fps=23.976, seconds=0, mode="loop"),
        "4": call("LoadVideo", file="silent.mp4"),
        "5": call("MovieGenFitAudio", audio=["1", 0], video=["4", 0], fps=24, seconds=0, mode="pad"),
        "6": call("SaveAudio", audio=["3", 0], filename_prefix="audio/frames"),
        "7": call("SaveAudio", audio=["5", 0], filename_prefix="audio/video"),
    }
    for number in ("3", "5"):
        prompt[number]["inputs"] |= {"fade_in": 0, "fade_out": 0}
    frames, video = sorted(saved_sounds(server, prompt))
    assert read_sound(frames)[0].shape[1] == round(31 * 1001 / 24000 * 44100)
    assert read_sound(video)[0].shape[1] == round(36 * 1001 / 30000 * 44100)


def test_custom_loudness_reaches_its_target(server, media):
    prompt = {
        "1": call("LoadAudio", audio="music.wav"),
        "2": call("MovieGenNormaliseLoudness", audio=["1", 0], target="custom"),
        "3": call("SaveAudio", audio=["2", 0], filename_prefix="audio/loud"),
    }
    prompt["2"]["inputs"] |= {"target.lufs": -20.0, "target.true_peak_db": -3.0}
    [written] = saved_sounds(server, prompt)
    assert integrated_loudness(*read_sound(written)) == pytest.approx(-20.0, abs=0.1)


def test_cut_video_keeps_its_cut_under_its_new_sound(server, info, media):
    if "Video Slice" not in info:
        pytest.skip("this ComfyUI has no Video Slice")
    cut = {"start_time": 0.2, "duration": 0.5, "strict_duration": False}
    prompt = {
        "1": call("LoadVideo", file="film.mp4"),
        "2": call("Video Slice", video=["1", 0], **cut),
        "3": call("LoadAudio", audio="music.wav"),
        "4": call("MovieGenSetVideoAudio", video=["2", 0], audio=["3", 0], mode="replace"),
        "5": call("SaveVideo", video=["4", 0], filename_prefix="video/cut", format="auto", codec="auto"),
    }
    prompt["4"]["inputs"] |= {"gain_db": 0.0, "original_gain_db": 0.0}
    movie = read_movie(server.run(prompt)[0])
    assert movie.duration_seconds == pytest.approx(0.5, abs=0.05)
    assert movie.sample_rate == 44100


def test_sound_of_a_silent_video_is_refused_in_one_line(server, media):
    prompt = {
        "1": call("LoadVideo", file="silent.mp4"),
        "2": call("GetVideoComponents", video=["1", 0]),
        "3": call("MovieGenStereoFromMono", audio=["2", 1], width=0.5),
        "4": call("PreviewAudio", audio=["3", 0]),
    }
    entry = server.finished(server.queue(prompt))
    [message] = [body["exception_message"] for kind, body in entry["status"]["messages"] if kind == "execution_error"]
    assert "may be silent" in message
    assert len(message.strip().splitlines()) == 1


def test_stock_audio_vae_nodes_decode_what_the_codec_encodes(server, media, tiny):
    from moviegen_core.models import loading
    from moviegen_core.pipelines.sound_codec import decode_sound, encode_sound

    path = tiny.write_audio_codec(server.base / "models" / "vae" / "tiny_codec.safetensors")
    sound = 0.3 * (torch.arange(40_000) / 9).sin().expand(1, 2, -1)
    write_sound(sound[0], 48000, media / "stereo.wav")
    prompt = {
        "1": call("LoadAudio", audio="stereo.wav"),
        "2": call("MovieGenSoundVAELoader", vae_name="tiny_codec.safetensors", dtype="auto"),
        "3": call("VAEEncodeAudio", audio=["1", 0], vae=["2", 0]),
        "4": call("VAEDecodeAudio", samples=["3", 0], vae=["2", 0]),
        "5": call("SaveAudio", audio=["4", 0], filename_prefix="audio/1_coded"),
        "6": call("MovieGenEmptySoundLatent", fps=24.0, seconds=1.5, batch_size=1),
        "7": call("VAEDecodeAudio", samples=["6", 0], vae=["2", 0]),
        "8": call("SaveAudio", audio=["7", 0], filename_prefix="audio/2_empty"),
    }
    coded, empty = sorted(saved_sounds(server, prompt))
    codec = loading.load(path)
    wanted = decode_sound(codec, encode_sound(codec, sound.mean(1, keepdim=True)))[0]
    heard, rate = read_sound(coded)
    assert rate == 48000
    assert heard.shape == wanted.shape
    # VAE Decode Audio lowers loud sounds as a whole.
    scale = (heard * wanted).sum() / wanted.square().sum()
    assert float((heard - scale * wanted).norm() / heard.norm()) < 1e-2
    assert read_sound(empty)[0].shape == (1, 38 * 1920)
