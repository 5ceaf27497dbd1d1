"""A film from a prompt: moviegen make."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..media.formats import ENCODED_ENDINGS, PICTURE_ENDINGS
from ..shapes import check_duration, seconds_to_frames
from .common import Progress, add_placement, check_new, check_target, claimed, say
from .sound import draw


def add_make(commands: Any) -> None:
    """The parser of `make`."""
    make = commands.add_parser(
        "make",
        help="make a film from a prompt",
        epilog="The shipped model nano knows a toy world only: docs/toybox.md lists its things, places and motions.",
    )
    make.add_argument("prompt", help="what happens, in plain English; quote a word to have it written in the picture")
    make.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("film.mp4"),
        metavar="FILE",
        help="a film (.mp4, .m4v, .mov, .mkv), or of one frame a picture (default: %(default)s)",
    )
    make.add_argument("--force", action="store_true", help="overwrite what is there")
    make.add_argument("--sheet", type=Path, metavar="FILE.png", help="also write a contact sheet of the frames")
    make.add_argument("--model", default="nano", help="a shipped name or a folder (default: %(default)s)")
    make.add_argument(
        "--lora", action="append", default=[], metavar="FILE[=STRENGTH]", help="add a LoRA to the model; repeatable"
    )
    length = make.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=4.0, help="duration (default: %(default)g)")
    length.add_argument("--frames", type=int, help="number of frames, instead of --seconds")
    make.add_argument("--fps", type=float, default=16, help="frames per second (default: %(default)g)")
    make.add_argument("--height", type=int, default=128, help="pixels, a multiple of 16 (default: %(default)d)")
    make.add_argument("--width", type=int, default=128, help="pixels, a multiple of 16 (default: %(default)d)")
    make.add_argument("--seed", type=int, default=0, help="one seed gives one film (default: %(default)d)")
    make.add_argument("--steps", type=int, help="solver steps (default: what the model recommends, else 50)")
    make.add_argument("--guidance", type=float, help="classifier-free guidance (default: as the model recommends)")
    make.add_argument(
        "--camera",
        metavar="MOVE",
        help='pan left, zoom in, close-up and the like, put before the prompt as "Pan left."',
    )
    make.add_argument("--negative", default="", help="what to steer away from")
    make.add_argument("--schedule", default="linear_quadratic", choices=("linear_quadratic", "linear"))
    make.add_argument("--solver", default="euler", choices=("euler", "midpoint"))
    make.add_argument(
        "--temperature", type=float, help="of the noise; less is calmer (default: what the model recommends, else 1)"
    )
    sound = make.add_argument_group("sound")
    sound.add_argument("--no-sound", action="store_true", help="pictures alone")
    sound.add_argument("--sound-prompt", help='what is heard; "" lets the pictures decide (default: the prompt)')
    sound.add_argument("--music", default="", help="music to be heard with it (default: none)")
    sound.add_argument("--stereo", action="store_true", help="two channels; the model's own sound is mono")
    sound.add_argument("--sound-picture", type=Path, metavar="FILE.png", help="also draw spectrogram and waveform")
    add_placement(make)
    make.add_argument("--attention", default="auto", help="auto, sdpa, xformers, flash or math (default: %(default)s)")
    make.set_defaults(run=_make)


def _make(arguments: argparse.Namespace) -> None:
    check_duration(arguments.seconds)
    check_target(arguments.output, (*ENCODED_ENDINGS, *PICTURE_ENDINGS))
    check_new(arguments.output, arguments.force)
    targets = [arguments.output]
    for picture in (arguments.sheet, arguments.sound_picture):
        if picture is not None:
            check_target(picture, PICTURE_ENDINGS)
            check_new(picture, arguments.force, targets=targets)
            targets.append(picture)
    asked = bool(arguments.music or arguments.sound_prompt or arguments.stereo or arguments.sound_picture)
    if arguments.no_sound and asked:
        raise ConfigError("--no-sound leaves nothing for the other options of sound; leave it or them out")
    if _still(arguments) and asked:
        raise ConfigError(f"{arguments.output} is a picture, which has no sound; leave out its options, or name a film")
    loras = [_lora(given) for given in arguments.lora]
    with claimed(arguments.output, arguments.force):
        _film(arguments, loras, asked)


def _film(arguments: argparse.Namespace, loras: Sequence[tuple[Path, float]], asked: bool) -> None:
    """Make and save it; `asked`: for anything of its sound."""
    from ..conditioning.text import add_camera
    from ..media.files import replacing
    from ..pipelines.movie import MovieGenPipeline, check_fps
    from ..pipelines.sound_parts import has_sound

    check_fps(arguments.fps)
    if arguments.camera is not None:
        add_camera("", arguments.camera)  # an unknown one is told before the work
    frames = arguments.frames
    if frames is None:
        frames = seconds_to_frames(arguments.seconds, arguments.fps)
    if _still(arguments) and frames != 1:
        raise ConfigError(
            f"{arguments.output} is a picture, which holds one frame, and {frames} were asked for; add --frames 1, or "
            "name a film"
        )
    pipeline = MovieGenPipeline.from_pretrained(
        arguments.model, device=arguments.device, dtype=arguments.dtype, attend=arguments.attention
    )
    say(f"{pipeline.placement}")
    for path, strength in loras:
        pipeline.add_lora(path, strength)
    silent = arguments.no_sound or _still(arguments)
    heard = not silent and (asked or has_sound(arguments.model))
    if heard:
        pipeline.sound.check_eyes()  # what cannot be heard is told before the work
    elif not silent:
        say(f"{arguments.model} has no weights for the sound of films: this one shows pictures alone")
    failed: BaseException | None = None
    progress = Progress("sampling")
    film = pipeline(
        arguments.prompt,
        camera=arguments.camera,
        negative=arguments.negative,
        num_frames=frames,
        fps=arguments.fps,
        height=arguments.height,
        width=arguments.width,
        seed=arguments.seed,
        steps=arguments.steps,
        guidance_scale=arguments.guidance,
        schedule=arguments.schedule,
        solver=arguments.solver,
        temperature=arguments.temperature,
        on_step=lambda step, steps, _: progress.show(step, steps),
    )
    if heard:
        said = arguments.prompt if arguments.sound_prompt is None else arguments.sound_prompt
        watching, sounding = Progress("watching the film", "frame"), Progress("sound")
        try:
            film = pipeline.add_sound(
                film,
                said,
                music=arguments.music,
                seed=arguments.seed,
                channels=2 if arguments.stereo else 1,
                on_frames=lambda count: watching.show(count, frames),
                on_step=lambda step, steps, _: sounding.show(step, steps),
            )
        except BaseException as error:  # a lack of memory or an interrupt, too: the pictures took their time
            failed = error.with_traceback(None)  # which would hold what filled the memory
    if failed is not None:
        say("the sound could not be made; writing the pictures without it")
        film.save(arguments.output)
        say(f"{arguments.output} is kept, without the sound that could not be made")
        raise failed
    film.save(arguments.output)
    print(arguments.output)
    if arguments.sheet is not None:
        with replacing(arguments.sheet) as partial:
            film.contact_sheet().save(partial)
        print(arguments.sheet)
    if arguments.sound_picture is not None:
        draw(film.sound, arguments.sound_picture)


def _still(arguments: argparse.Namespace) -> bool:
    """Whether one frame is wanted, as a picture."""
    return arguments.output.suffix.lower() in PICTURE_ENDINGS


def _lora(given: str) -> tuple[Path, float]:
    """FILE[=STRENGTH] -> both; a "=" in the file's own name stays."""
    name, equals, strength = given.rpartition("=")
    try:
        path, factor = (Path(name), float(strength)) if equals else (Path(given), 1.0)
    except ValueError:
        path, factor = Path(given), 1.0
    if not path.is_file():
        raise ConfigError(f"--lora {given}: there is no file {path}; give one, as in --lora mine.safetensors=0.8")
    return path, factor
