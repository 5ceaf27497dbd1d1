"""Makes a few films with the shipped models by running the text-to-video workflow, and a contact sheet of them all.

    python scripts/demo.py [--output out] [--seconds 4] [--seed 7] [PROMPT ...]

The same prompts and seed write the same files again.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
from pathlib import Path

import moviegen_core
from moviegen_core.errors import MovieGenError
from moviegen_core.media.files import replacing
from moviegen_core.media.frames import contact_sheet, to_images
from moviegen_core.media.movie import read_movie
from moviegen_core.shapes import seconds_to_frames

WORKFLOW = Path(moviegen_core.__file__).parents[1] / "workflows" / "text_to_video.json"
PROMPTS = (
    "a red ball bounces on the beach",
    "a blue fish swims under water",
    "a yellow star spins in the night sky while it snows",
    "a green car rolls through the city, tracking shot",
    "an orange cat hops across the meadow",
    'a purple robot slides through the room beside a sign that says "HELLO"',
)
FPS = 16
SHEET_COLUMNS = 8  # frames of each film


def main() -> int:
    """Write the films and the sheet; gives the exit code."""
    parser = argparse.ArgumentParser(description="Make a few films with the shipped models.")
    parser.add_argument("prompts", nargs="*", default=PROMPTS, metavar="PROMPT")
    parser.add_argument("--output", type=Path, default=Path("out"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    frames = seconds_to_frames(arguments.seconds, FPS)
    films = []
    for number, prompt in enumerate(arguments.prompts, start=1):
        print(f"demo: film {number} of {len(arguments.prompts)}: {prompt}", file=sys.stderr, flush=True)
        film = arguments.output / f"{slug(prompt)}.mp4"
        make(prompt, film, frames=frames, seed=arguments.seed)
        films.append(film)
    sheet = arguments.output / "contact_sheet.png"
    write_sheet(films, sheet)
    for path in (*films, sheet):
        print(path)
    return 0


def make(prompt: str, film: Path, *, frames: int, seed: int) -> None:
    """Run the workflow for one prompt; its film takes the name `film`."""
    host = importlib.import_module("moviegen_host.__main__")
    film.parent.mkdir(parents=True, exist_ok=True)
    # The workflow numbers its files; a folder of its own lets every run write the same name.
    with tempfile.TemporaryDirectory(dir=film.parent, prefix=".demo-") as folder:
        host.run(WORKFLOW, {"prompt": prompt, "seed": str(seed), "length": str(frames)}, Path(folder))
        written = sorted(Path(folder).rglob("*.mp4"))
        if len(written) != 1:
            raise MovieGenError(f"{WORKFLOW.name} wrote {len(written)} films instead of one; run it by hand to see why")
        written[0].replace(film)


def write_sheet(films: list[Path], sheet: Path) -> None:
    """One row of evenly spread frames for each film."""
    images = []
    for film in films:
        frames = to_images(read_movie(film).pixels())
        images += [frames[round(index * (len(frames) - 1) / (SHEET_COLUMNS - 1))] for index in range(SHEET_COLUMNS)]
    with replacing(sheet) as partial:
        contact_sheet(images, SHEET_COLUMNS).save(partial)


def slug(prompt: str) -> str:
    """A file name for a prompt: its first words."""
    words = re.findall(r"\w+", prompt.lower())
    return "_".join(words)[:60] or "film"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MovieGenError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
