"""The sound tools in a real ComfyUI. Run with `pytest -m comfy`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from films import packets_of

from moviegen_core.media.loudness import integrated_loudness
from moviegen_core.media.movie import read_movie, write_movie
from moviegen_core.media.sound import read_sound, write_sound


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


def test_finished_sound_leaves_every_picture_packet_as_it_was(server, info, media, comfy):
    import av

    document = comfy.workflow("finish_audio")
    [written] = server.run(comfy.api_prompt(document, info), document)
    made, given = packets_of(written).packets, packets_of(media / "film.mp4").packets
    assert [one[:2] for one in made] == [one[:2] for one in given]
    with av.open(str(written)) as container:
        assert abs(container.duration / 1_000_000 - 36 * 1001 / 30000) <= 1024 / 48000
    heard, rate = read_sound(written)
    assert abs(heard.shape[1] - round(36 * 1001 / 30000 * rate)) <= 1024
    assert integrated_loudness(heard, rate) == pytest.approx(-14.0, abs=0.5)
    assert {"workflow", "prompt"} <= set(read_movie(written).metadata)


def test_sound_fits_frames_and_videos_to_the_sample(server, media, comfy):
    prompt = {
        "1": comfy.call("LoadAudio", audio="music.wav"),
        "2": comfy.call("EmptyImage", width=16, height=16, batch_size=31, color=0),
        "3": comfy.call("MovieGenFitAudio", audio=["1", 0], images=["2", 0], fps=23.976, seconds=0, mode="loop"),
        "4": comfy.call("LoadVideo", file="silent.mp4"),
        "5": comfy.call("MovieGenFitAudio", audio=["1", 0], video=["4", 0], fps=24, seconds=0, mode="pad"),
        "6": comfy.call("SaveAudio", audio=["3", 0], filename_prefix="audio/frames"),
        "7": comfy.call("SaveAudio", audio=["5", 0], filename_prefix="audio/video"),
    }
    for number in ("3", "5"):
        prompt[number]["inputs"] |= {"fade_in": 0, "fade_out": 0}
    frames, video = sorted(comfy.saved_sounds(server, prompt))
    assert read_sound(frames)[0].shape[1] == round(31 * 1001 / 24000 * 44100)
    assert read_sound(video)[0].shape[1] == round(36 * 1001 / 30000 * 44100)


def test_custom_loudness_reaches_its_target(server, media, comfy):
    prompt = {
        "1": comfy.call("LoadAudio", audio="music.wav"),
        "2": comfy.call("MovieGenNormaliseLoudness", audio=["1", 0], target="custom"),
        "3": comfy.call("SaveAudio", audio=["2", 0], filename_prefix="audio/loud"),
    }
    prompt["2"]["inputs"] |= {"target.lufs": -20.0, "target.true_peak_db": -3.0}
    [written] = comfy.saved_sounds(server, prompt)
    assert integrated_loudness(*read_sound(written)) == pytest.approx(-20.0, abs=0.1)


def test_cut_video_keeps_its_cut_under_its_new_sound(server, info, media, comfy):
    if "Video Slice" not in info:
        pytest.skip("this ComfyUI has no Video Slice")
    cut = {"start_time": 0.2, "duration": 0.5, "strict_duration": False}
    prompt = {
        "1": comfy.call("LoadVideo", file="film.mp4"),
        "2": comfy.call("Video Slice", video=["1", 0], **cut),
        "3": comfy.call("LoadAudio", audio="music.wav"),
        "4": comfy.call("MovieGenSetVideoAudio", video=["2", 0], audio=["3", 0], mode="replace"),
        "5": comfy.call("SaveVideo", video=["4", 0], filename_prefix="video/cut", format="auto", codec="auto"),
    }
    prompt["4"]["inputs"] |= {"gain_db": 0.0, "original_gain_db": 0.0}
    movie = read_movie(server.run(prompt)[0])
    assert movie.duration_seconds == pytest.approx(0.5, abs=0.05)
    assert movie.sample_rate == 44100


def test_sound_of_a_silent_video_is_refused_in_one_line(server, media, comfy):
    prompt = {
        "1": comfy.call("LoadVideo", file="silent.mp4"),
        "2": comfy.call("GetVideoComponents", video=["1", 0]),
        "3": comfy.call("MovieGenStereoFromMono", audio=["2", 1], width=0.5),
        "4": comfy.call("PreviewAudio", audio=["3", 0]),
    }
    entry = server.finished(server.queue(prompt))
    [message] = [body["exception_message"] for kind, body in entry["status"]["messages"] if kind == "execution_error"]
    assert "may be silent" in message
    assert len(message.strip().splitlines()) == 1


def test_stock_audio_vae_nodes_decode_what_the_codec_encodes(server, media, tiny, comfy):
    from moviegen_core.models import loading
    from moviegen_core.pipelines.sound_codec import decode_sound, encode_sound

    path = tiny.write_audio_codec(server.base / "models" / "vae" / "tiny_codec.safetensors")
    sound = 0.3 * (torch.arange(40_000) / 9).sin().expand(1, 2, -1)
    write_sound(sound[0], 48000, media / "stereo.wav")
    prompt = {
        "1": comfy.call("LoadAudio", audio="stereo.wav"),
        "2": comfy.call("MovieGenSoundVAELoader", vae_name="tiny_codec.safetensors", dtype="auto"),
        "3": comfy.call("VAEEncodeAudio", audio=["1", 0], vae=["2", 0]),
        "4": comfy.call("VAEDecodeAudio", samples=["3", 0], vae=["2", 0]),
        "5": comfy.call("SaveAudio", audio=["4", 0], filename_prefix="audio/1_coded"),
        "6": comfy.call("MovieGenEmptySoundLatent", fps=24.0, seconds=1.5, batch_size=1),
        "7": comfy.call("VAEDecodeAudio", samples=["6", 0], vae=["2", 0]),
        "8": comfy.call("SaveAudio", audio=["7", 0], filename_prefix="audio/2_empty"),
    }
    coded, empty = sorted(comfy.saved_sounds(server, prompt))
    codec = loading.load(path)
    wanted = decode_sound(codec, encode_sound(codec, sound.mean(1, keepdim=True)))[0]
    heard, rate = read_sound(coded)
    assert rate == 48000
    assert heard.shape == wanted.shape
    # VAE Decode Audio lowers loud sounds as a whole.
    scale = (heard * wanted).sum() / wanted.square().sum()
    assert float((heard - scale * wanted).norm() / heard.norm()) < 1e-2
    assert read_sound(empty)[0].shape == (1, 38 * 1920)
