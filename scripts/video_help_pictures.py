"""Draws the pictures of the video nodes' help pages: python scripts/video_help_pictures.py [NAME ...] [--seed 3]

Each page below becomes web/docs/NAME.jpg with the nodes themselves, and nothing is chosen: films are those of the seed.
tools_pictures.py draws those of Join Clips and Anchor Colour.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from drawing import FAINT, GROUND, INK, MARK, SHOWN, TRACE, chart, draw_named, font, row, say, titled
from pages import FPS, LENGTH, SHIPPED, SIDE, node, outputs, pages, pictures, toy, usual
from PIL import Image
from torch import Tensor

from moviegen_core.media.frames import contact_sheet
from moviegen_core.shapes import LENGTH_RULES
from moviegen_host.session import Progress, Session, active

PROMPT = "A red ball bounces on the beach on a sunny day. The camera is static."
PROMPTS = (
    "A red ball bounces on the beach.",
    "A blue ball bounces on the beach.",
    "A red ball bounces in space.",
    "A red fish floats under water.",
)


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
    settings = usual("VideoSampler", "steps", "cfg", "temperature")
    return node("VideoSampler", model=model(), positive=asked, latent=empty, seed=seed, **settings)


def frames(samples: Any) -> list[Image.Image]:
    """Decoded frames."""
    return pictures(node("TAEDecode", samples=samples, vae=tae(), window=32, overlap=16))


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
    whole, left = Image.new("RGB", (512, 152), GROUND), 0
    for width, height in ((128, 80), (128, 128), (80, 128)):
        shown = frames(latent(seed, PROMPT, width, height))
        picture = titled([(f"{width} x {height}", shown[len(shown) // 2])])
        whole.paste(picture, (left, 0))
        left += picture.width + 24
    return whole


def linear_quadratic_sigmas(seed: int) -> Image.Image:
    """The schedule beside a linear one of as many steps."""
    picture, pen = chart(300)
    sigmas = node("LinearQuadraticSigmas", steps=25, emulated_steps=250).tolist()
    for values, colour, title, y in (
        ([1 - place / 25 for place in range(26)], FAINT, "25 linear steps", 240),
        (sigmas, TRACE, "25 steps, the first half of them as small as those of 250", 216),
    ):
        places = [(30 + 740 * index / 25, 280 - 260 * value) for index, value in enumerate(values)]
        pen.line(places, colour, 2)
        for x, height in places:
            pen.ellipse((x - 3, height - 3, x + 3, height + 3), colour)
        pen.text((40, y), title, colour, font())
    pen.text((40, 192), "sigma, from noise to the clip", INK, font())
    return picture


def video_sampler(seed: int) -> Image.Image:
    """Live previews while the clip is made, and the clip."""
    previews: list[Progress] = []
    with active(Session(on_progress=previews.append)):
        made = sampled(seed, clip(), PROMPT)
    steps = usual("VideoSampler", "steps")["steps"]
    parts = [(f"step {step}", previews[step - 1].preview) for step in (1, 15, 30, steps)]
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
    pen.text((6, 6), "2.2 seconds at 16 fps (35.2 frames) become:", INK, font())
    for index, family in enumerate(families):
        rule = LENGTH_RULES[family]
        y = 56 + 44 * index
        pen.text((6, y - 9), family, INK, font())
        chosen = outputs("PlanFrames", seconds=2.2, fps=16.0, family=family)[0]
        for frame in range(16, 57):
            x, accepted = 120 + (frame - 16) * 16, frame % rule.frames == rule.rest % rule.frames
            size = 9 if frame == chosen else 5 if accepted else 1
            pen.line((x, y - size, x, y + size), MARK if frame == chosen else TRACE if accepted else FAINT, 3)
        pen.text((126 + (chosen - 16) * 16, y + 2), str(chosen), MARK, font())
        pen.line((120 + 19.2 * 16, y - 12, 120 + 19.2 * 16, y + 12), INK)
    return picture


def take_latent_tail(seed: int) -> Image.Image:
    """The rest and the tail of a clip, decoded."""
    tail, rest = outputs("TakeLatentTail", samples=latent(seed), frames=2)
    whole = Image.new("RGB", (8 * (SIDE // 2 + 2) + 24, 90), GROUND)
    for title, part, left in (("rest", row(frames(rest), 5), 0), ("tail", row(frames(tail), 3), 5 * 66 + 24)):
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


PAGES = pages(
    model_loader, text_encoder_loader, tae_loader, text_encode, empty_video_latent, linear_quadratic_sigmas,
    video_sampler, tae_decode, tae_encode, plan_frames, take_latent_tail, join_latents, decode_to_video,
)  # fmt: skip


if __name__ == "__main__":
    draw_named(PAGES, __doc__, seed=3)
