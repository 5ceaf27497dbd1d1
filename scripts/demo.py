"""Makes a few films with sound with the shipped models, a contact sheet of them all and a picture of their sounds.

    python scripts/demo.py [--output out] [--seconds 4] [--seed 7] [--no-sound] [PROMPT ...]

It runs the text-to-movie workflow, with the prompt for the sound too. The same prompts and seed write the same files
again.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import moviegen_core
from moviegen_core.errors import MovieGenError
from moviegen_core.media.files import replacing
from moviegen_core.media.frames import contact_sheet, to_images
from moviegen_core.media.movie import read_movie
from moviegen_core.media.sound import read_sound
from moviegen_core.media.spectrogram import sound_picture
from moviegen_core.pipelines.sound_parts import has_sound
from moviegen_core.shapes import seconds_to_frames
from moviegen_host.errors import HostError
from moviegen_host.run import Host

WORKFLOWS = Path(moviegen_core.__file__).parents[1] / "workflows"
PROMPTS = (
    "A red ball bounces on the beach on a sunny day. The camera is static.",
    "A blue fish floats under water in the sea. The camera zooms in.",
    "A yellow star spins under a starry night sky while it snows.",
    "A tracking shot follows it. A green car rolls along a city street.",
    "An orange cat hops across a sunny meadow.",
    'A purple robot slides to a stop inside a cozy room. A sign reads "HELLO".',
)
FPS = 16
SHEET_COLUMNS = 8  # frames of each film
SOUND_COLUMNS, SOUND_WIDTH, SOUND_HEIGHT = 2, 640, 180


def main(argv: Sequence[str] | None = None) -> int:
    """Write the films and the pictures of them; gives the exit code."""
    parser = argparse.ArgumentParser(description="Make a few films with the shipped models.")
    parser.add_argument("prompts", nargs="*", default=PROMPTS, metavar="PROMPT")
    parser.add_argument("--output", type=Path, default=Path("out"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-sound", action="store_true", help="pictures alone")
    arguments = parser.parse_args(argv)
    length = seconds_to_frames(arguments.seconds, FPS)
    films: list[Path] = []
    heard = not arguments.no_sound and has_sound("nano")
    if not heard and not arguments.no_sound:
        say("no weights for sound are shipped yet: the films show pictures alone")
    workflow = WORKFLOWS / ("text_to_movie.json" if heard else "text_to_video.json")
    # The workflow numbers its files; a folder of its own lets every run of the demo write the same names.
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.output, prefix=".demo-") as folder:
        host = Host(output=folder)
        for number, prompt in enumerate(arguments.prompts, start=1):
            say(f"film {number} of {len(arguments.prompts)}: {prompt}")
            settings = {"prompt": prompt, "seed": arguments.seed, "length": length}
            if heard:
                settings |= {"sound": prompt, "sound_seed": arguments.seed, "candidates": 1}
            name = slug(prompt)
            film = arguments.output / f"{name}.mp4"
            films.append(arguments.output / f"{name}_{number}.mp4" if film in films else film)
            host.run(workflow, settings).written[0].replace(films[-1])
    pictures = [arguments.output / "contact_sheet.png"]
    write_sheet(films, arguments.prompts, pictures[0])
    if heard:
        pictures.append(arguments.output / "sounds.png")
        write_sounds(films, arguments.prompts, pictures[1])
    for path in (*films, *pictures):
        print(path)
    return 0


def write_sheet(films: Sequence[Path], prompts: Sequence[str], sheet: Path) -> None:
    """One row of evenly spread frames for each film, named by its prompt."""
    rows = []
    for film in films:
        frames = to_images(read_movie(film).pixels())
        chosen = [frames[round(index * (len(frames) - 1) / (SHEET_COLUMNS - 1))] for index in range(SHEET_COLUMNS)]
        rows.append(contact_sheet(chosen, SHEET_COLUMNS))
    with replacing(sheet) as partial:
        contact_sheet(rows, 1, list(prompts)).save(partial)


def write_sounds(films: Sequence[Path], prompts: Sequence[str], path: Path) -> None:
    """Spectrogram and waveform of each film's sound, named by its prompt."""
    images = [sound_picture(*read_sound(film), SOUND_WIDTH, SOUND_HEIGHT) for film in films]
    with replacing(path) as partial:
        contact_sheet(images, SOUND_COLUMNS, list(prompts)).save(partial)


def say(line: str) -> None:
    """One line on stderr."""
    print(f"demo: {line}", file=sys.stderr, flush=True)


def slug(prompt: str) -> str:
    """A file name for a prompt: its first words."""
    words = re.findall(r"\w+", prompt.lower())
    return "_".join(words[:8])[:60] or "film"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MovieGenError, HostError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
