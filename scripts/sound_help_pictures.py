"""Draws pictures of the sound nodes' help pages: python scripts/sound_help_pictures.py [NAME ...] [--seed 3]

Each page below becomes web/docs/NAME.jpg with the nodes themselves, and nothing is chosen: films and sounds are those
of the seed. sound_pictures.py draws those of the sound transformer.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from drawing import GROUND, LANE, MARK, SHOWN, TRACE, WIDE, chart, draw_named, lane, row, titled
from pages import FPS, SHIPPED, audio, node, outputs, pages, pictures, toy
from PIL import Image
from torch import Tensor

from moviegen_core.conditioning.sound import motion_span
from moviegen_core.media.frames import contact_sheet
from moviegen_core.media.movie import write_movie
from moviegen_core.media.spectrogram import sound_picture
from moviegen_core.pipelines.watching import watch_frames
from moviegen_core.shapes import SOUND_HOP, SOUND_SAMPLE_RATE
from moviegen_host.session import current
from moviegen_host.video import VideoFromFile


def fit_audio(seed: int) -> Image.Image:
    """One sound fitted to two lengths in three ways."""
    given = toy(seed, 2.0)[1]
    options: dict[str, dict[str, Any]] = {
        "pad": {"mode": "pad"},
        "loop": {"mode": "loop"},
        "cut and faded out": {"seconds": 1.2, "fade_out": 0.5},
    }
    rows = {"a sound of 2 seconds": given}
    for title, more in options.items():
        fitted = node("FitAudio", **{"audio": audio(given), "seconds": 5.0, **more})["waveform"][0]
        rows[f"{title}: {fitted.shape[1] / SOUND_SAMPLE_RATE:g} seconds"] = fitted
    return titled([(title, lane(sound, 5.0)) for title, sound in rows.items()])


def tune(seconds: float) -> Tensor:
    """A quiet chord that swells, [1, S]."""
    time = torch.arange(round(seconds * SOUND_SAMPLE_RATE)) / SOUND_SAMPLE_RATE
    tones = sum(torch.sin(2 * math.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    return (tones * 0.12 * (1 - 0.25 * torch.cos(2 * math.pi * time))).unsqueeze(0)


def mix_audio(seed: int) -> Image.Image:
    """Music that gives way to an effect."""
    music, effect = tune(5.0), toy(seed, 2.0)[1]
    mixed = node("MixAudio", audio=audio(music), added=audio(effect), start=1.5, duck_db=14.0, gain_db=3.0)
    late = torch.cat([torch.zeros(1, round(1.5 * SOUND_SAMPLE_RATE)), effect], dim=1)
    rows = {"audio": music, "added, from 1.5 s on": late, "mixture, audio ducked by 14 dB": mixed["waveform"][0]}
    return titled([(title, lane(sound, 5.0)) for title, sound in rows.items()])


def normalise_loudness(seed: int) -> Image.Image:
    """A quiet sound at three standard loudnesses, with what the node measured."""
    quiet = 0.2 * toy(seed, 5.0)[1]
    rows = [("as it came", lane(quiet, 5.0))]
    for target in ("broadcast", "podcast", "streaming"):
        done, lufs, peak = outputs("NormaliseLoudness", audio=audio(quiet), target={"target": target})
        rows.append((f"{target}: {lufs:.1f} LUFS, true peak {peak:.1f} dBTP", lane(done["waveform"][0], 5.0)))
    return titled(rows)


def stereo_from_mono(seed: int) -> Image.Image:
    """Left, right, and what a single loudspeaker plays."""
    mono = toy(seed, 2.0)[1][:, round(0.75 * SOUND_SAMPLE_RATE) : round(1.0 * SOUND_SAMPLE_RATE)]
    wide = node("StereoFromMono", audio=audio(mono), width=1.0)["waveform"][0]
    rows = {"mono": mono, "left": wide[:1], "right": wide[1:], "left and right together": wide.mean(0, keepdim=True)}
    return titled([(title, lane(sound, 0.25)) for title, sound in rows.items()])


def set_video_audio(seed: int) -> Image.Image:
    """Frames and sound of a film before and after."""
    shown, sound = toy(seed)
    path = current().temp_directory / "film.mp4"
    write_movie(shown.movedim(-1, 0) * 2 - 1, path, FPS, tune(2.0))
    film = VideoFromFile(str(path))
    heard = node("SetVideoAudio", video=film, audio=audio(sound), mode="replace").get_components()
    before = tune(2.0)
    rows = [("its pictures stay as they are", contact_sheet(row(pictures(heard.images)), SHOWN))]
    rows += [("the sound it had", lane(before, 2.0)), ("the sound it has now", lane(heard.audio["waveform"][0], 2.0))]
    return titled(rows)


def frame_encoders_loader(seed: int) -> Image.Image:
    """Frames, how much what the motion encoder sees changes from moment to moment, and the sound the scene has."""
    seconds = 4.0
    shown, sound = toy(seed, seconds)
    eyes = node("FrameEncodersLoader", vision="none", motion=SHIPPED)
    seen, samples = watch_frames(eyes, shown.movedim(-1, 0) * 2 - 1, FPS)
    moments = motion_span(seen.features(-(-samples // SOUND_HOP))[None], eyes.motion.config.feature_dim)[0]
    change = (moments[1:] - moments[:-1]).norm(dim=-1)
    picture, pen = chart(LANE)
    heights = (LANE - 6 - (LANE - 12) * change / change.max()).tolist()
    pen.line([(WIDE * index / len(heights), height) for index, height in enumerate(heights)], MARK, 2)
    strip = contact_sheet([one.resize((100, 100)) for one in row(pictures(shown), 8)], 8, gap=0)
    rows = [("frames of 4 seconds", strip), ("how much changes for the motion encoder", picture)]
    return titled([*rows, ("the sound that belongs to them", lane(sound, seconds))])


def empty_sound_latent(seed: int) -> Image.Image:
    """Frames of a clip above the latents that cover its sound."""
    shown = toy(seed)[0][: FPS + 1]
    made = node("EmptySoundLatent", images=shown, fps=float(FPS))
    count, clip_length = made["samples"].shape[2], len(shown) / FPS
    picture, pen = chart(52)
    width = WIDE / (count * SOUND_HOP / SOUND_SAMPLE_RATE)
    for index in range(count):
        x = index * width * SOUND_HOP / SOUND_SAMPLE_RATE
        pen.rectangle((x, 10, x + width * SOUND_HOP / SOUND_SAMPLE_RATE - 2, 44), outline=TRACE)
    pen.line((clip_length * width, 0, clip_length * width, 52), MARK, 2)
    strip = Image.new("RGB", (WIDE, 47), GROUND)
    for index, one in enumerate(pictures(shown)):
        strip.paste(one.resize((44, 44)), (round(index * width / FPS), 2))
    title = f"{count} latent frames of 40 ms cover them; the last one reaches beyond the clip's end"
    return titled([(f"{len(shown)} frames at {FPS} fps, {clip_length * 1000:g} ms", strip), (title, picture)])


def sound_vae_loader(seed: int) -> Image.Image:
    """A sound above what comes back from its latents."""
    given = toy(seed, 4.0)[1]
    coded = node("SoundDecode", samples=sound_latent(seed), vae=codec())["waveform"][0]
    parts = {"before": given, "after": coded}
    return titled([(title, sound_picture(sound, SOUND_SAMPLE_RATE, WIDE, 200)) for title, sound in parts.items()])


@cache
def codec() -> Any:
    """The shipped sound codec."""
    return node("SoundVAELoader", vae_name=SHIPPED)


@cache
def sound_latent(seed: int) -> Any:
    """The toy sound as the codec keeps it."""
    network = codec().network
    with torch.no_grad():
        samples = network.encode(toy(seed, 4.0)[1][None].to(network.latent_std))
    return {"samples": samples.float(), "type": "audio"}


def sound_decode(seed: int) -> Image.Image:
    """The channels of a latent above the sound they become."""
    samples = sound_latent(seed)["samples"]
    levels = samples[0].abs().mul(85).clamp(0, 255).to(torch.uint8).flip(0)
    inside = Image.fromarray(levels.numpy()).resize((WIDE, 128), Image.Resampling.BILINEAR)
    heard = node("SoundDecode", samples=sound_latent(seed), vae=codec())["waveform"][0]
    title = f"{samples.shape[1]} channels, 25 latent frames a second"
    return titled([(title, inside), ("the sound", sound_picture(heard, SOUND_SAMPLE_RATE, WIDE, 200))])


PAGES = pages(
    fit_audio, mix_audio, normalise_loudness, stereo_from_mono, set_video_audio, frame_encoders_loader,
    empty_sound_latent, sound_vae_loader, sound_decode,
)  # fmt: skip


if __name__ == "__main__":
    draw_named(PAGES, __doc__, seed=3)
