"""Sound for a film, from words, or around sound that exists: moviegen sound."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..media.formats import CONTAINERS, PICTURE_ENDINGS, SOUND_ENDINGS
from ..shapes import check_duration
from .common import Progress, add_placement, check_new, check_target, claimed, say

if TYPE_CHECKING:
    from ..media.timeline import Timeline

FILMS = tuple(CONTAINERS)
SOUNDS = (".wav", ".flac")
EXAMPLES = """examples:
  moviegen sound clip.mp4 -o out.mp4                           make a film's sound; its pictures are copied bit for bit
  moviegen sound clip.mp4 --prompt "rain" --music "calm piano"
  moviegen sound --seconds 20 --prompt "rain on a roof" -o rain.wav
  moviegen sound --known rain.wav --seconds 60 -o longer.wav   go on from a sound
  moviegen sound --known end.wav --at end --seconds 30         lead up to it
  moviegen sound --known take.wav --gap 3 4.5 -o mended.wav    make a part anew
"""

logger = logging.getLogger(__name__)


def add_sound(commands: Any) -> None:
    """The parser of `sound`."""
    sound = commands.add_parser(
        "sound",
        help="make the sound of a film, or a sound from words",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sound.add_argument(
        "video", nargs="?", type=Path, help="the film to make sound for; up to half an hour, any frame rate"
    )
    sound.add_argument("--prompt", default="", help="what is heard, in plain English (default: the pictures decide)")
    sound.add_argument("--music", default="", help="music to be heard with it (default: none)")
    sound.add_argument("--seconds", type=float, help="length of a sound without a film")
    sound.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="a film, .wav or .flac (default: VIDEO_sound, or sound.wav)"
    )
    sound.add_argument("--force", action="store_true", help="overwrite what is there")
    sound.add_argument("--picture", type=Path, metavar="FILE.png", help="also draw spectrogram and waveform")
    sound.add_argument("--stereo", action="store_true", help="two channels; the model's own sound is mono")
    add_known(sound)
    mixed = sound.add_argument_group("the film's own sound")
    mixed.add_argument("--mix", action="store_true", help="keep it beneath the new one instead of replacing it")
    mixed.add_argument("--gain", type=float, default=0.0, metavar="DB", help="of the new sound (default: %(default)g)")
    mixed.add_argument(
        "--original-gain", type=float, default=0.0, metavar="DB", help="of the film's own sound, with --mix"
    )
    add_sampling(sound)
    sound.set_defaults(run=_sound)


def add_known(parser: argparse.ArgumentParser) -> None:
    """--known, --at and --gap."""
    known = parser.add_argument_group("sound that exists already")
    known.add_argument("--known", type=Path, metavar="FILE", help="a sound, or a film's, that stays; the rest is made")
    known.add_argument(
        "--at",
        default="0",
        metavar="SECONDS",
        help="second at which it begins, or the word end to place it last (default: %(default)s)",
    )
    known.add_argument(
        "--gap", nargs=2, type=float, action="append", default=[], metavar=("FROM", "TO"), help="a part to remake"
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How a sound is sampled, and by what."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--model", default="nano", help="a shipped name or a folder (default: %(default)s)")
    group.add_argument("--seed", type=int, default=0, help="one seed gives one sound (default: %(default)d)")
    group.add_argument("--steps", type=int, help="solver steps (default: what the model recommends, else 64)")
    group.add_argument("--guidance", type=float, help="classifier-free guidance (default: as the model recommends)")
    group.add_argument(
        "--picture-guidance",
        type=float,
        metavar="SCALE",
        help="the same for the picture alone; above --guidance, hits keep closer to it (default: as recommended)",
    )
    group.add_argument("--temperature", type=float, help="of the noise; less is plainer (default: as recommended)")
    group.add_argument("--negative", default="", help="what to steer away from")
    group.add_argument("--quality", type=float, help="1 to 10, as captions say it (default: 7, with music 8)")
    group.add_argument("--candidates", type=int, help="sounds of which the best is kept (default: 1)")
    group.add_argument(
        "--method",
        default="extend",
        choices=("extend", "multidiffusion"),
        help="how long sounds are made (default: %(default)s)",
    )
    group.add_argument("--window", type=float, metavar="SECONDS", help="length of a window (default: as recommended)")
    group.add_argument(
        "--context", type=float, metavar="SECONDS", help="shared by neighbouring windows (default: as recommended)"
    )
    add_placement(group)
    group.add_argument("--attention", default="auto", help="auto, sdpa, xformers, flash or math (default: auto)")


def _sound(arguments: argparse.Namespace) -> None:
    video = arguments.video
    _check_lengths(arguments)
    length = film = None
    if video is not None:
        from ..media.timeline import timeline

        _check_film(video)
        film = timeline(video)
        length = float(film.seconds)
    output = _output(arguments)
    with claimed(output, arguments.force):
        _made(arguments, output, film, length)


def _made(arguments: argparse.Namespace, output: Path, film: Timeline | None, length: float | None) -> None:
    """Make the sound, and save it alone or in its film."""
    video = arguments.video
    from ..media.timeline import clip_samples
    from ..pipelines.sound_request import LONGEST_SECONDS, check_samples
    from ..pipelines.soundtrack import SoundPipeline
    from ..shapes import SOUND_SAMPLE_RATE

    if length is not None:
        check_samples(clip_samples(length, SOUND_SAMPLE_RATE))
    if arguments.seconds is not None and arguments.seconds > LONGEST_SECONDS:
        raise ConfigError(
            f"a sound of {arguments.seconds:g} s was asked for; one has at most {LONGEST_SECONDS:g} s: make it in parts"
        )
    seconds, known = _known(arguments, length)
    pipeline = SoundPipeline.from_pretrained(
        arguments.model, device=arguments.device, dtype=arguments.dtype, attend=arguments.attention
    )
    say(f"{pipeline.placement}")
    watching = Progress("watching", "frame")
    sampling = Progress("sampling")
    made = pipeline(
        arguments.prompt,
        music=arguments.music,
        negative=arguments.negative,
        quality=arguments.quality,
        video=video,
        seconds=seconds,
        known=known,
        seed=arguments.seed,
        steps=arguments.steps,
        guidance_scale=arguments.guidance,
        picture_guidance=arguments.picture_guidance,
        temperature=arguments.temperature,
        candidates=arguments.candidates,
        method=arguments.method,
        window_seconds=arguments.window,
        context_seconds=arguments.context,
        channels=2 if arguments.stereo else None,
        on_frames=lambda count: watching.show(count, max(count, film.num_frames if film else count)),
        on_step=lambda step, steps, _: sampling.show(step, steps),
    )
    if output.suffix.lower() in SOUNDS:
        made.save(output)
    else:
        from ..media.mux import set_audio

        set_audio(
            video,
            made.waveform,
            output,
            sample_rate=made.sample_rate,
            mode="mix" if arguments.mix else "replace",
            gain_db=arguments.gain,
            original_gain_db=arguments.original_gain,
            metadata={"moviegen_sound": dict(made.facts)},
        )
    print(output)
    if arguments.picture is not None:
        draw(made, arguments.picture)


def draw(made: Any, path: Path) -> None:
    """Write the picture of a sound, whole or not at all, and name it."""
    from ..media.files import replacing

    with replacing(path) as partial:
        made.picture().save(partial)
    print(path)


def _check_lengths(arguments: argparse.Namespace) -> None:
    """Refuse what has no length, or two."""
    seconds = arguments.seconds
    if seconds is not None:
        check_duration(seconds)
    if arguments.video is not None and seconds is not None:
        raise ConfigError("the sound of a film is as long as the film; leave out --seconds")
    if arguments.video is None and seconds is None and arguments.known is None:
        raise ConfigError("neither a film nor a length was given; give a film, --seconds, or --known")
    if arguments.known is None and (arguments.gap or arguments.at != "0"):
        raise ConfigError("--at and --gap say where a known sound lies; name it with --known")
    if arguments.mix and arguments.video is None:
        raise ConfigError("--mix keeps a film's own sound; give the film")
    if arguments.original_gain and not arguments.mix:
        raise ConfigError("--original-gain is of the film's own sound, which only --mix keeps; add it")


def _check_film(path: Path) -> None:
    """Refuse a picture or a sound where a film is needed."""
    from ..media.timeline import pictures_start

    if not path.is_file():
        return
    if path.suffix.lower() in PICTURE_ENDINGS:
        raise ConfigError(f"{path} is a picture; give a film, or make a sound from words: --prompt and --seconds")
    if path.suffix.lower() in SOUND_ENDINGS and pictures_start(path) is None:
        raise ConfigError(
            f"{path} is a sound and holds no pictures; give a film, or go on from it with --known {path} and --seconds"
        )


def _output(arguments: argparse.Namespace) -> Path:
    """Where the result goes, checked before the work."""
    from ..media.mux import check_container, check_gains, container_ending

    video, output = arguments.video, arguments.output
    check_gains(arguments.gain, arguments.original_gain)
    if output is None:
        output = Path("sound.wav") if video is None else Path(f"{video.stem}_sound{container_ending(video)}")
    check_target(output, SOUNDS if video is None else FILMS + SOUNDS)
    given = [file for file in (video, arguments.known) if file is not None]
    check_new(output, arguments.force, given)
    if video is not None and output.suffix.lower() in FILMS:
        check_container(video, output)
    elif arguments.mix or arguments.gain:
        raise ConfigError(
            f"{output} gets the new sound as it is made; leave out --mix and --gain, or name a film with -o"
        )
    if arguments.picture is not None:
        check_target(arguments.picture, PICTURE_ENDINGS)
        check_new(arguments.picture, arguments.force, given)
    return output


def _known(arguments: argparse.Namespace, film_seconds: float | None) -> tuple[float | None, list[Any]]:
    """(--seconds, or what the known sound makes of them; pieces of known sound)."""
    if arguments.known is None:
        return arguments.seconds, []
    from ..media.sound import read_sound
    from ..pipelines.known_sound import known_sound
    from ..pipelines.sound_request import LONGEST_SECONDS

    total = film_seconds if arguments.seconds is None else arguments.seconds
    begin = None if arguments.at == "end" else _place(arguments.at)
    # Of a file of hours no more is read than can be needed.
    most = LONGEST_SECONDS if total is None or begin is None else min(LONGEST_SECONDS, max(0.0, total - begin) + 1.0)
    waveform, rate = read_sound(arguments.known, most_seconds=most)
    own = waveform.shape[1] / rate
    if own >= LONGEST_SECONDS:
        raise ConfigError(f"{arguments.known} lasts {LONGEST_SECONDS:g} s or more; cut it first")
    if begin is None:
        begin = max(0.0, (own if total is None else total) - own)
    if total is None:
        total = begin + own
        if not arguments.gap and begin <= 0:
            raise ConfigError(f"{arguments.known} lasts {own:g} s, so nothing is left to make; add --seconds or --gap")
    known = known_sound(waveform, rate, begin, [tuple(gap) for gap in arguments.gap])
    return (total if film_seconds is None else None), known


def _place(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--at {text!r} is no place; use seconds, or end") from None
