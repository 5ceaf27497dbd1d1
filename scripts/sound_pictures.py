"""Draws the pictures of the sound workflows and of the sound nodes' help pages, with the shipped models.

    python scripts/sound_pictures.py [thumbnails] [help] [--seed 7]

Nothing is chosen: a thumbnail shows what its workflow writes as it is; every other sound is that of the seed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from drawing import draw_named, say, titled
from PIL import Image, ImageDraw
from torch import Tensor

from moviegen_core import toybox
from moviegen_core.media.frames import to_uint8
from moviegen_core.media.movie import read_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.media.spectrogram import LEFT, sound_picture
from moviegen_core.pipelines.known_sound import known_sound
from moviegen_core.pipelines.sound import CONTEXT_SECONDS, LATENT_RATE, WINDOW_SECONDS, joins
from moviegen_core.pipelines.sound_scoring import MatchScorer
from moviegen_core.pipelines.soundtrack import SoundPipeline, condition_sound
from moviegen_core.pipelines.watching import watch_video
from moviegen_core.shapes import SOUND_SAMPLE_RATE, sound_latent_frames

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS, HELP = ROOT / "workflows", ROOT / "web" / "docs"
CLIP = WORKFLOWS / "bouncing_ball.mp4"
NAMES = ("text_to_movie", "sound_for_any_video", "text_to_sound", "long_sound")
THUMBNAIL, FRAMES = 384, 3  # pixels a side; frames above the sound of a film
WIDE, STRIP = 960, 8
KNOWN_SECONDS, WHOLE_SECONDS, GAP = 4.0, 8.0, (3.0, 5.0)
CANDIDATES = 4
SAID = ("The sound of a ball bouncing on stone.", "Rain.", "The sound of a robot rolling. Wind can be heard.")
MARK, BEST = "#ffffff", "#7bd88f"


def thumbnails(seed: int) -> list[Path]:
    """workflows/NAME.jpg: what the workflow writes, its sound below a few of its frames."""
    from moviegen_host.run import run

    drawn = []
    for name in NAMES:
        say(name)
        with tempfile.TemporaryDirectory() as folder:
            [file] = run(WORKFLOWS / f"{name}.json", output=folder).written
            film = file.suffix == ".mp4"
            side = THUMBNAIL // FRAMES if film else 0
            waveform, rate = read_sound(file)
            parts = [frame_strip(file, FRAMES, side)] if film else []
            parts.append(sound_picture(waveform, rate, THUMBNAIL, THUMBNAIL - side))
        drawn.append(save(below(parts), WORKFLOWS / f"{name}.jpg"))
    return drawn


def help_pages(seed: int) -> list[Path]:
    """web/docs/*.jpg of Video to Sound, Extend, Fill, Long Sound, the sampler and its loader."""
    pipeline = SoundPipeline.from_pretrained("nano")
    say("video_to_sound, sound_sampler")
    heard = pipeline(video=CLIP, seed=seed).waveform
    seen = below([frame_strip(CLIP, STRIP, WIDE // STRIP), sound_picture(heard, SOUND_SAMPLE_RATE, WIDE, 240)])
    drawn = [save(seen, HELP / "video_to_sound.jpg"), save(candidates(pipeline, seed), HELP / "sound_sampler.jpg")]

    scene = toybox.sample_scene(seed, split="test", motion="bounce", duration_seconds=WHOLE_SECONDS)
    real = torch.from_numpy(toybox.sound(scene, channels=1, music=False))[:, : round(WHOLE_SECONDS * SOUND_SAMPLE_RATE)]
    say("extend_sound, fill_sound")
    begun = known_sound(real[:, : round(KNOWN_SECONDS * SOUND_SAMPLE_RATE)])
    said = toybox.sound_captions(scene, seed, music=False).description
    say(said)
    longer = pipeline(said, known=begun, seconds=WHOLE_SECONDS, seed=seed).waveform
    filled = pipeline(said, known=known_sound(real, gaps=[GAP]), seconds=WHOLE_SECONDS, seed=seed).waveform
    drawn.append(save(marked(longer, [KNOWN_SECONDS]), HELP / "extend_sound.jpg"))
    drawn.append(save(marked(filled, GAP), HELP / "fill_sound.jpg"))

    say("audio_model_loader")
    asked = [
        (text, sound_picture(pipeline(text, seconds=4, seed=seed).waveform, SOUND_SAMPLE_RATE, WIDE, 150))
        for text in SAID
    ]
    drawn.append(save(titled(asked), HELP / "audio_model_loader.jpg"))

    say("long_sound")
    minute = pipeline("Rain and wind.", music="Quiet, dreamy music with long chords.", seconds=60, seed=seed).waveform
    advice = {"window_seconds": WINDOW_SECONDS, "context_seconds": CONTEXT_SECONDS, **pipeline.parts.sampling}
    places = joins(60 * LATENT_RATE, advice["window_seconds"], advice["context_seconds"])
    drawn.append(save(marked(minute, places), HELP / "long_sound.jpg"))
    return drawn


def candidates(pipeline: SoundPipeline, seed: int) -> Image.Image:
    """Sounds of several seeds for one clip in rows, the one that the scorer takes in a frame."""
    parts = pipeline.parts
    watched, samples = watch_video(parts.eyes, CLIP)
    conditioning = condition_sound(parts.words, "", watched.features(sound_latent_frames(samples)))
    scorer = MatchScorer(match=parts.match, codec=parts.codec)
    sounds = [pipeline(video=CLIP, seed=seed + number, candidates=1).waveform for number in range(CANDIDATES)]
    scores = [float(scorer(parts.codec.encode(sound[None]), conditioning)[0]) for sound in sounds]
    rows = [sound_picture(sound, SOUND_SAMPLE_RATE, WIDE, 150) for sound in sounds]
    whole, best = below(rows), scores.index(max(scores))
    ImageDraw.Draw(whole).rectangle((0, 150 * best, WIDE - 1, 150 * best + 149), outline=BEST, width=3)
    return whole


def marked(waveform: Tensor, seconds: Sequence[float]) -> Image.Image:
    """A sound with a line at each of `seconds`."""
    picture = sound_picture(waveform, SOUND_SAMPLE_RATE, WIDE, 280)
    pen, whole = ImageDraw.Draw(picture), waveform.shape[1] / SOUND_SAMPLE_RATE
    for second in seconds:
        x = LEFT + (WIDE - LEFT) * second / whole
        for y in range(0, 264, 12):
            pen.line((x, y, x, y + 5), fill=MARK)
    return picture


def frame_strip(path: Path, count: int, side: int) -> Image.Image:
    """`count` frames of a film side by side, evenly spread, `side` pixels each."""
    pixels = read_movie(path).pixels()
    chosen = np.linspace(0, pixels.shape[1] - 1, count).round().astype(int)
    strip = Image.new("RGB", (count * side, side))
    for place, frame in enumerate(to_uint8(pixels[:, chosen]).numpy()):
        strip.paste(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC), (place * side, 0))
    return strip


def below(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one width under each other."""
    whole = Image.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)))
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def save(picture: Image.Image, path: Path) -> Path:
    """As JPEG."""
    picture.save(path, quality=88)
    return path


if __name__ == "__main__":
    draw_named({"thumbnails": thumbnails, "help": help_pages}, __doc__, seed=7)
