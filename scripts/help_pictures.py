"""Draws the pictures of help pages with the nodes themselves: python scripts/help_pictures.py [NAME ...] [--seed 3]

Each function below makes web/docs/NAME.jpg, and nothing is chosen: films and sounds are those of the seed. The sound
transformer's pages get theirs from sound_pictures.py, Join Clips and Anchor Colour from tools_pictures.py.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from moviegen_core import toybox
from moviegen_core.conditioning.sound import motion_span
from moviegen_core.media.frames import contact_sheet, from_uint8, to_images
from moviegen_core.media.movie import write_movie
from moviegen_core.media.spectrogram import sound_picture
from moviegen_core.pipelines.soundtrack import watch_frames
from moviegen_core.shapes import LENGTH_RULES, SOUND_HOP, SOUND_SAMPLE_RATE
from moviegen_host.registry import Registry, default_registry
from moviegen_host.session import Progress, Session, active, current
from moviegen_host.video import VideoFromFile

HELP = Path(__file__).resolve().parents[1] / "web" / "docs"
PROMPT = "A red ball bounces on the beach on a sunny day. The camera is static."
FPS, SIDE, LENGTH, SHOWN = 16, 128, 32, 6  # frames a second; pixels; frames of a film; frames of it in a row
WIDE, LANE = 800, 72  # pixels of charts
STEPS = 50
GROUND, INK, FAINT, TRACE, MARK = "#202124", "#e8e8e8", "#5f6368", "#8ab4f8", "#fdd663"
SHIPPED = "nano (shipped)"
PROMPTS = (
    "A red ball bounces on the beach.",
    "A blue ball bounces on the beach.",
    "A red ball bounces in space.",
    "A red fish floats under water.",
)


@cache
def registry() -> Registry:
    """This pack's nodes on the embedded host."""
    return default_registry()


def node(name: str, **inputs: Any) -> Any:
    """Runs one of our nodes -> its first output."""
    return outputs(name, **inputs)[0]


def outputs(name: str, **inputs: Any) -> tuple[Any, ...]:
    """Runs one of our nodes -> all its outputs."""
    return registry().nodes[f"MovieGen{name}"].execute(**inputs).args


@cache
def model() -> Any:
    """The shipped video transformer."""
    return node("ModelLoader", model_name=SHIPPED)


@cache
def tae() -> Any:
    """The shipped autoencoder."""
    return node("TAELoader", vae_name=SHIPPED)


@cache
def clip(ul2: str = SHIPPED, metaclip: str = SHIPPED, byt5: str = SHIPPED) -> Any:
    """The shipped text encoders."""
    return node("TextEncoderLoader", ul2=ul2, metaclip=metaclip, byt5=byt5)


@cache
def latent(seed: int, prompt: str = PROMPT, width: int = SIDE, height: int = SIDE, length: int = LENGTH) -> Any:
    """A sampled clip."""
    return sampled(seed, clip(), prompt, width, height, length)


def sampled(seed: int, words: Any, prompt: str, width: int = SIDE, height: int = SIDE, length: int = LENGTH) -> Any:
    """A clip of these text encoders."""
    say(f"{prompt} ({width} x {height} x {length})")
    asked = node("TextEncode", clip=words, text=prompt, fps=float(FPS), show_text="")
    empty = node("EmptyVideoLatent", width=width, height=height, length=length, batch_size=1)
    return node(
        "VideoSampler", model=model(), positive=asked, latent=empty, seed=seed, steps=STEPS, cfg=3.0, temperature=0.8
    )


def frames(samples: Any) -> list[Image.Image]:
    """Decoded frames."""
    return pictures(node("TAEDecode", samples=samples, vae=tae(), window=32, overlap=16))


def pictures(images: Tensor) -> list[Image.Image]:
    """IMAGE [T, H, W, 3] in 0..1 -> pictures."""
    return to_images(images.movedim(-1, 0) * 2 - 1)


@cache
def toy(seed: int, seconds: float = LENGTH / FPS) -> tuple[Tensor, Tensor]:
    """A scene of the toy world: IMAGE frames [T, H, W, 3] in 0..1, and its sound [1, S] at 48 kHz."""
    scene = toybox.sample_scene(seed, split="test", motion="bounce", duration_seconds=seconds)
    shown = toybox.render(scene, num_frames=round(FPS * seconds), fps=FPS, height=SIDE, width=SIDE)
    heard = torch.from_numpy(toybox.sound(scene, channels=1, music=False))
    pixels = from_uint8(np.ascontiguousarray(shown)).movedim(0, -1)
    return (pixels + 1) / 2, heard[:, : round(seconds * SOUND_SAMPLE_RATE)]


def audio(waveform: Tensor) -> dict[str, Any]:
    """[C, S] -> AUDIO."""
    return {"waveform": waveform[None], "sample_rate": SOUND_SAMPLE_RATE}


def row(shown: Sequence[Image.Image], count: int = SHOWN) -> list[Image.Image]:
    """`count` pictures, evenly spread."""
    return [shown[round(index)] for index in np.linspace(0, len(shown) - 1, count)]


def titled(parts: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures under each other, each below its title."""
    font = ImageFont.load_default(15)
    width = max(picture.width for _, picture in parts)
    whole = Image.new("RGB", (width, sum(picture.height + 24 for _, picture in parts)), GROUND)
    pen, top = ImageDraw.Draw(whole), 0
    for title, picture in parts:
        pen.text((6, top + 3), title, INK, font)
        whole.paste(picture, (0, top + 24))
        top += picture.height + 24
    return whole


def lane(waveform: Tensor, seconds: float, height: int = LANE) -> Image.Image:
    """[C, S] at 48 kHz as a trace on a lane that lasts `seconds`; what is missing stays empty."""
    picture = Image.new("RGB", (WIDE, height), "#2b2c30")
    pen, loudest = ImageDraw.Draw(picture), height / 2 - 2
    drawn = min(WIDE, math.ceil(WIDE * waveform.shape[1] / SOUND_SAMPLE_RATE / seconds))
    for x in range(drawn):
        first, last = (round(place * seconds * SOUND_SAMPLE_RATE / WIDE) for place in (x, x + 1))
        part = waveform[:, first : max(last, first + 1)]
        if part.numel():
            ends = height / 2 - loudest * float(part.max()), height / 2 - loudest * float(part.min())
            pen.line((x, ends[0], x, ends[1] + 1), TRACE)
    if drawn < WIDE:
        pen.line((drawn, 0, drawn, height), MARK)
    return picture


def chart(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty ground and a pen."""
    picture = Image.new("RGB", (WIDE, height), GROUND)
    return picture, ImageDraw.Draw(picture)


def model_loader(seed: int) -> Image.Image:
    """What the shipped model makes of two prompts."""
    return titled([(prompt, contact_sheet(row(frames(latent(seed, prompt))), SHOWN)) for prompt in PROMPTS[::2]])


def text_encoder_loader(seed: int) -> Image.Image:
    """The same prompt and seed read by all encoders, and by one."""
    chosen = {"ul2, metaclip and byt5": {}, "ul2 alone": {"metaclip": "none", "byt5": "none"}}
    chosen["metaclip alone"] = {"ul2": "none", "byt5": "none"}
    rows = {name: sampled(seed, clip(**options), PROMPT) for name, options in chosen.items()}
    return titled([(name, contact_sheet(row(frames(made)), SHOWN)) for name, made in rows.items()])


def text_encode(seed: int) -> Image.Image:
    """One seed, one word changed at a time."""
    return titled([(prompt, contact_sheet(row(frames(latent(seed, prompt))), SHOWN)) for prompt in PROMPTS])


def empty_video_latent(seed: int) -> Image.Image:
    """Clips of three sizes."""
    whole, left = Image.new("RGB", (640, 216), GROUND), 0
    for width, height in ((192, 128), (128, 128), (96, 192)):
        shown = frames(latent(seed, PROMPT, width, height))
        picture = titled([(f"{width} x {height}", shown[len(shown) // 2])])
        whole.paste(picture, (left, 0))
        left += 224
    return whole


def linear_quadratic_sigmas(seed: int) -> Image.Image:
    """The schedule beside a linear one of as many steps."""
    picture, pen = chart(300)
    font = ImageFont.load_default(15)
    sigmas = node("LinearQuadraticSigmas", steps=25, emulated_steps=250).tolist()
    for values, colour, title, y in (
        ([1 - place / 25 for place in range(26)], FAINT, "25 linear steps", 240),
        (sigmas, TRACE, "25 steps, the first half of them as small as those of 250", 216),
    ):
        places = [(30 + 740 * index / 25, 280 - 260 * value) for index, value in enumerate(values)]
        pen.line(places, colour, 2)
        for x, height in places:
            pen.ellipse((x - 3, height - 3, x + 3, height + 3), colour)
        pen.text((40, y), title, colour, font)
    pen.text((40, 192), "sigma, from noise to the clip", INK, font)
    return picture


def video_sampler(seed: int) -> Image.Image:
    """Live previews while the clip is made, and the clip."""
    previews: list[Progress] = []
    with active(Session(on_progress=previews.append)):
        made = sampled(seed, clip(), PROMPT)
    wanted = {1: "step 1", 15: "step 15", 30: "step 30", STEPS: f"step {STEPS}"}
    parts = [(title, previews[step - 1].preview) for step, title in wanted.items()]
    return titled([*parts, ("the clip", contact_sheet(row(frames(made), 4), 4, gap=0))])


def tae_loader(seed: int) -> Image.Image:
    """A clip above what comes back from its latents."""
    return titled([("before", contact_sheet(row(pictures(toy(seed)[0])), SHOWN)), ("after", rebuilt(seed))])


def rebuilt(seed: int) -> Image.Image:
    """Frames of the toy clip after encoding and decoding."""
    return contact_sheet(row(frames(encoded(seed))), SHOWN)


@cache
def encoded(seed: int) -> Any:
    """The toy clip as latent."""
    return node("TAEEncode", pixels=toy(seed)[0], vae=tae(), window=32)


def channels(samples: Tensor, count: int) -> list[Image.Image]:
    """Channels of the middle latent frame [1, C, T, h, w] in grey, as large as a decoded frame."""
    middle = samples[0, :count, samples.shape[2] // 2].mul(42).add(128).clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(one.numpy()).resize((SIDE, SIDE), Image.Resampling.NEAREST) for one in middle]


def tae_encode(seed: int) -> Image.Image:
    """Frames above channels of the latent they become."""
    inside = contact_sheet(channels(encoded(seed)["samples"], SHOWN), SHOWN)
    shown = contact_sheet(row(pictures(toy(seed)[0])), SHOWN)
    return titled([(f"{LENGTH} frames of {SIDE} x {SIDE} pixels", shown), ("6 of 16 channels of 4 latents", inside)])


def tae_decode(seed: int) -> Image.Image:
    """Channels of a sampled latent above the frames they become."""
    made = latent(seed)
    inside = contact_sheet(channels(made["samples"], SHOWN), SHOWN)
    return titled([("6 of 16 channels of a sampled latent", inside), ("the clip", contact_sheet(row(frames(made)), 6))])


def plan_frames(seed: int) -> Image.Image:
    """Lengths that families take around two seconds, and the nearest one."""
    families = ("movie_gen", "wan", "ltx_video", "mochi")
    picture, pen = chart(36 + 44 * len(families))
    font = ImageFont.load_default(15)
    pen.text((6, 6), "2.2 seconds at 16 fps (35.2 frames) become:", INK, font)
    for index, family in enumerate(families):
        rule = LENGTH_RULES[family]
        y = 56 + 44 * index
        pen.text((6, y - 9), family, INK, font)
        chosen = outputs("PlanFrames", seconds=2.2, fps=16.0, family=family)[0]
        for frame in range(16, 57):
            x, accepted = 120 + (frame - 16) * 16, frame % rule.frames == rule.rest % rule.frames
            size = 9 if frame == chosen else 5 if accepted else 1
            pen.line((x, y - size, x, y + size), MARK if frame == chosen else TRACE if accepted else FAINT, 3)
        pen.text((126 + (chosen - 16) * 16, y + 2), str(chosen), MARK, font)
        pen.line((120 + 19.2 * 16, y - 12, 120 + 19.2 * 16, y + 12), INK)
    return picture


def take_latent_tail(seed: int) -> Image.Image:
    """The rest and the tail of a clip, decoded."""
    tail, rest = outputs("TakeLatentTail", samples=latent(seed), frames=1)
    whole = Image.new("RGB", (8 * (SIDE // 2 + 2) + 24, 90), GROUND)
    for title, part, left in (("rest", row(frames(rest), 6), 0), ("tail", row(frames(tail), 2), 6 * 66 + 24)):
        small = [one.resize((SIDE // 2, SIDE // 2)) for one in part]
        whole.paste(titled([(title, contact_sheet(small, len(small), gap=1))]), (left, 0))
    return whole


def join_latents(seed: int) -> Image.Image:
    """Two clips whose latents blend over two latent frames."""
    parts = [latent(seed, prompt) for prompt in PROMPTS[::3]]
    joined = node("JoinLatents", first=parts[0], second=parts[1], overlap=2)
    rows = [(f"clip {index + 1}", contact_sheet(row(frames(part)), SHOWN)) for index, part in enumerate(parts)]
    return titled([*rows, ("joined, two of six latent frames overlap", contact_sheet(row(frames(joined)), SHOWN))])


def decode_to_video(seed: int) -> Image.Image:
    """Frames of the film file that the node wrote."""
    film = node("DecodeToVideo", samples=latent(seed), vae=tae(), fps=float(FPS), crf=16.0)
    shown = pictures(film.get_components().images)
    times = [f"{round(index) / FPS:.1f} s" for index in np.linspace(0, len(shown) - 1, SHOWN)]
    return contact_sheet(row(shown), SHOWN, times)


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


def say(line: str) -> None:
    """One line on stderr."""
    print(f"help pictures: {line}", file=sys.stderr, flush=True)


KINDS: dict[str, Callable[[int], Image.Image]] = {
    one.__name__: one
    for one in (
        model_loader, text_encoder_loader, tae_loader, text_encode, empty_video_latent, linear_quadratic_sigmas,
        video_sampler, tae_decode, tae_encode, plan_frames, take_latent_tail, join_latents, decode_to_video, fit_audio,
        mix_audio, normalise_loudness, stereo_from_mono, set_video_audio, frame_encoders_loader,
        empty_sound_latent, sound_vae_loader,
        sound_decode,
    )
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the named pictures, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(KINDS)}; all by default")
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(KINDS))
    if unknown:
        parser.error(f"{', '.join(unknown)} cannot be drawn; choose from {', '.join(KINDS)}")
    with active(Session()):
        for name in arguments.names or KINDS:
            target = HELP / f"{name}.jpg"
            KINDS[name](arguments.seed).save(target, quality=86)
            print(target)


if __name__ == "__main__":
    main()
