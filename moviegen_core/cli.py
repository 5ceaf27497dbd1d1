"""The `moviegen` command. Errors are one line on stderr and a non-zero exit code; heavy imports wait for their use."""

from __future__ import annotations

import argparse
import errno
import importlib
import inspect
import json
import logging
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from .errors import ConfigError, MovieGenError

FAILED, INTERRUPTED = 2, 130
LIBRARIES = ("torch", "safetensors", "numpy", "pillow", "av", "einops", "transformers", "tokenizers")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code: 0 done, 2 refused or failed, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    level = logging.INFO if arguments.verbose else logging.WARNING
    logging.basicConfig(level=level, format="moviegen: %(message)s", stream=sys.stderr)
    try:
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        return _fail("interrupted; no unfinished file was left", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except MovieGenError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("memory ran out; make the clip shorter or smaller")
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return _fail(f"the disk is full while writing{where}; free some space or write to another folder")
        return _fail(f"{error.strerror or error}{where}")
    except RuntimeError as error:
        # torch.OutOfMemoryError is a RuntimeError, and so is what its CPU allocator raises.
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        return _fail("memory ran out; make the clip shorter or smaller, or use another --device")


def build_parser() -> argparse.ArgumentParser:
    """Parser of every subcommand; each stores the function that runs it."""
    parser = argparse.ArgumentParser(prog="moviegen", description="Movie Gen: films from sentences.")
    parser.add_argument("--version", action="version", version=f"moviegen {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_make, _add_run, _add_studio, _add_models, _add_train, _add_evaluate, _add_convert, _add_doctor):
        add(commands)
    return parser


def _add_make(commands: Any) -> None:
    make = commands.add_parser("make", help="make a film from a prompt")
    make.add_argument("prompt", help="what happens, in plain English; quote a word to have it written in the picture")
    make.add_argument(
        "-o", "--output", type=Path, default=Path("film.mp4"), metavar="FILE", help="default: %(default)s"
    )
    make.add_argument("--sheet", type=Path, metavar="FILE.png", help="also write a contact sheet of the frames")
    make.add_argument("--model", default="nano", help="a shipped name or a folder (default: %(default)s)")
    length = make.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=4.0, help="duration (default: %(default)g)")
    length.add_argument("--frames", type=int, help="number of frames, instead of --seconds")
    make.add_argument("--fps", type=float, default=16, help="frames per second (default: %(default)g)")
    make.add_argument("--height", type=int, default=128, help="pixels, a multiple of 16 (default: %(default)d)")
    make.add_argument("--width", type=int, default=128, help="pixels, a multiple of 16 (default: %(default)d)")
    make.add_argument("--seed", type=int, default=0, help="one seed gives one film (default: %(default)d)")
    make.add_argument("--steps", type=int, help="solver steps (default: what the model recommends, else 50)")
    make.add_argument("--guidance", type=float, help="classifier-free guidance (default: as the model recommends)")
    make.add_argument("--negative", default="", help="what to steer away from")
    make.add_argument("--schedule", default="linear_quadratic", choices=("linear_quadratic", "linear"))
    make.add_argument("--solver", default="euler", choices=("euler", "midpoint"))
    _add_placement(make)
    make.add_argument("--attention", default="auto", help="auto, sdpa, xformers, flash or math (default: %(default)s)")
    make.set_defaults(run=_make)


def _add_placement(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 (default: %(default)s)")


def _make(arguments: argparse.Namespace) -> None:
    from .shapes import seconds_to_frames

    if not math.isfinite(arguments.seconds) or arguments.seconds <= 0:
        raise ConfigError(f"--seconds {arguments.seconds:g} is no duration; use a number above 0")
    _check_target(arguments.output, (".mp4",))
    if arguments.sheet is not None:
        _check_target(arguments.sheet, (".png", ".jpg", ".jpeg", ".webp"))
    from .media.files import replacing
    from .pipelines.movie import MovieGenPipeline, check_fps

    check_fps(arguments.fps)
    frames = arguments.frames
    if frames is None:
        frames = seconds_to_frames(arguments.seconds, arguments.fps)
    pipeline = MovieGenPipeline.from_pretrained(
        arguments.model, device=arguments.device, dtype=arguments.dtype, attend=arguments.attention
    )
    _say(f"{pipeline.placement}")
    progress = Progress("sampling")
    film = pipeline(
        arguments.prompt,
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
        on_step=lambda step, steps, _: progress.show(step, steps),
    )
    film.save(arguments.output)
    print(arguments.output)
    if arguments.sheet is not None:
        with replacing(arguments.sheet) as partial:
            film.contact_sheet().save(partial)
        print(arguments.sheet)


def _check_target(path: Path, suffixes: tuple[str, ...]) -> None:
    """Refuse before the work what could not be written after it."""
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{path} must end in {' or '.join(suffixes)}; choose such a name")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give a file name")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(f"{path} cannot be written: {folder} is no writable folder; choose another")


class Progress:
    """One line on stderr that is rewritten on a terminal, and printed every tenth of the way elsewhere."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.start = time.monotonic()

    def show(self, step: int, steps: int) -> None:
        """Tell that `step` of `steps` are done, with rate and time left."""
        seconds = max(time.monotonic() - self.start, 1e-6)
        rate = step / seconds
        line = f"{self.what}: step {step}/{steps}, {rate:.2f} steps/s, {(steps - step) / rate:.0f} s left"
        if sys.stderr.isatty():
            print(f"\r{line:<79}", end="\n" if step == steps else "", file=sys.stderr, flush=True)
        elif step == steps or step * 10 // steps > (step - 1) * 10 // steps:
            _say(line)


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="run a workflow file without ComfyUI")
    run.add_argument("workflow", type=Path, help="a workflow of ComfyUI, in UI or API format")
    _add_settings(run, "an input of the workflow, such as --set seed=7")
    run.add_argument("--list-settings", action="store_true", help="show what --set can change, and run nothing")
    run.add_argument("--input", type=Path, metavar="DIR", help="where load nodes look (default: beside the workflow)")
    run.add_argument("--output", type=Path, default=Path("out"), metavar="DIR", help="default: %(default)s")
    run.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Any:
    # The host stands beside the library, not below it: reached by name at the moment it is wanted.
    host = importlib.import_module("moviegen_host.__main__")
    return host.run(
        arguments.workflow,
        _settings(arguments),
        arguments.output,
        input_directory=arguments.input,
        list_only=arguments.list_settings,
    )


def _add_studio(commands: Any) -> None:
    studio = commands.add_parser("studio", help="open the graph editor in a browser, without ComfyUI")
    studio.add_argument("--port", type=int, default=8188, help="default: %(default)s; 0 takes a free one")
    studio.add_argument("--no-open", action="store_true", help="only print the address")
    studio.add_argument(
        "--folder", type=Path, default=Path("studio"), metavar="DIR", help="keeps input, output, user (%(default)s)"
    )
    studio.set_defaults(run=_studio)


def _studio(arguments: argparse.Namespace) -> Any:
    try:
        app = importlib.import_module("moviegen_host.studio.app")
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise ConfigError("the studio is not installed; run: pip install 'moviegen-video-audio[studio]'") from None
    return app.serve(arguments.folder, port=arguments.port, open_browser=not arguments.no_open)


def _add_models(commands: Any) -> None:
    models = commands.add_parser("models", help="list every preset with its parameter count")
    models.set_defaults(run=_models)


def _models(arguments: argparse.Namespace) -> None:
    print(f"{'network':<10} {'preset':<14} {'parameters':>15}  of which")
    for network, preset, total, parts in parameter_table():
        ranked = sorted(parts, key=parts.__getitem__, reverse=True)
        shown = {name: parts[name] for name in ranked[:4]} | {"the rest": sum(parts[name] for name in ranked[4:])}
        detail = ", ".join(f"{name} {_short(count)}" for name, count in shown.items() if count)
        print(f"{network:<10} {preset:<14} {total:>15,}  {detail}")


def parameter_table() -> Iterator[tuple[str, str, int, dict[str, int]]]:
    """(network, preset, parameters, parameters by top-level part) of every preset; no weight is allocated."""
    from .models import catalog
    from .models.text import build_network, presets

    for name, entry in catalog.NETWORKS.items():
        for preset in entry.presets:
            yield name, preset, *_count(catalog.build(name, preset, device="meta"))
    for kind, configs in (("nano", presets.NANO), ("full", presets.FULL)):
        for role, config in configs.items():
            yield "text", f"{kind} {role}", *_count(build_network(config, device="meta"))


def _count(network: Any) -> tuple[int, dict[str, int]]:
    from .models.catalog import count_parameters

    parts = {name: count_parameters(child) for name, child in network.named_children()}
    return count_parameters(network), {name: count for name, count in parts.items() if count}


def _short(count: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a model by its recipe; repeat after a stop to resume")
    train.add_argument("recipe", help="name of a recipe; nano is all of them, in order")
    train.add_argument("--output", type=Path, metavar="DIR", help="clips, caches, checkpoints, metrics (runs/nano)")
    train.add_argument(
        "--ship", type=Path, metavar="DIR", help="receives the trained weights (the package's own folder)"
    )
    train.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="continue what is there")
    train.add_argument("--minutes-scale", type=float, default=1.0, metavar="X", help="factor on every time limit")
    train.add_argument("--workers", type=int, default=1, help="processes that draw clips (default: %(default)d)")
    _add_settings(train, "a field of the recipe, such as --set video.max_minutes=20")
    _add_placement(train)
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> None:
    from .train.run import run

    output = run(
        arguments.recipe,
        arguments.output,
        resume=arguments.resume,
        minutes_scale=arguments.minutes_scale,
        settings=_settings(arguments),
        ship=arguments.ship,
        device=arguments.device,
        dtype=arguments.dtype,
        render_workers=arguments.workers,
    )
    print(output)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="measure the models; writes figures and tables")
    evaluate.add_argument("bench", help="tae, judge, video, sound or codec")
    evaluate.add_argument("--output", type=Path, default=Path("out/evaluate"), metavar="DIR", help="(%(default)s)")
    _add_settings(evaluate, "an option of the bench, such as --set prompts=50")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from . import evaluate

    known = inspect.signature(evaluate.bench(arguments.bench)).parameters
    options: dict[str, Any] = {}
    for name, text in _settings(arguments).items():
        if name not in known or name in ("output", "on_clip"):
            names = ", ".join(name for name in known if name not in ("output", "on_clip"))
            raise ConfigError(f"the bench {arguments.bench} has no option {name!r}; it has {names}")
        options[name] = _plain(text)
    if "on_clip" in known:
        bars: dict[str, Progress] = {}
        options["on_clip"] = lambda what, done, count: bars.setdefault(what, Progress(what)).show(done, count)
    evaluate.run(arguments.bench, arguments.output, **options)
    table = arguments.output / f"{arguments.bench}.md"
    if table.is_file():
        print(table.read_text(encoding="utf-8"))


def _add_settings(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help=what)


def _settings(arguments: argparse.Namespace) -> dict[str, str]:
    settings = {}
    for setting in arguments.settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {setting!r} must look like NAME=VALUE, for example --set seed=7")
        settings[name] = value
    return settings


def _plain(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser("convert", help="rewrite a foreign checkpoint as ours; runs no code from it")
    convert.add_argument("source", type=Path, help="a .safetensors, .pth, .pt, .ckpt or .bin file")
    convert.add_argument("target", type=Path, help="the .safetensors file to write")
    convert.add_argument("--network", help="video_dit, tae, ...; not needed for the released DAC-VAE")
    convert.add_argument("--preset", help="which sizes; moviegen models lists them")
    convert.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    _check_target(arguments.target, (".safetensors",))
    from .models import loading

    print(loading.convert(arguments.source, arguments.target, network=arguments.network, config=arguments.preset))


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="show what is installed and what would be chosen, and why")
    _add_placement(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    import torch

    from . import devices, weights
    from .ops import attention

    print(f"moviegen {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("libraries: " + ", ".join(_versions()))
    print(f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} used by torch; memory: {_memory()}")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        print(f"cuda:{index}: {facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    placement = devices.choose(arguments.device, arguments.dtype)
    print(f"chosen: {placement}")
    chosen = attention.resolve("auto", placement.device, placement.dtype)
    print(f"attention: {getattr(chosen, '__name__', chosen)} is chosen")
    for name, reason in attention.available(placement.device, placement.dtype).items():
        print(f"  {name}: {'usable' if reason is None else reason}")
    entries = weights.shipped()
    print(f"shipped weights: {len(entries)}" + ("" if entries else "; make them with: make nano"))
    damaged = 0
    for name, entry in entries.items():
        try:
            weights.path(name)
            print(f"  {name}: {entry.bytes / 2**20:.1f} MiB, verified")
        except MovieGenError as error:
            damaged += 1
            print(f"  {name}: {error}")
    return FAILED if damaged else 0


def _versions() -> Iterator[str]:
    from importlib import metadata

    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(name) / 2**30 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{total:.1f} GiB, {free:.1f} GiB free"


def _say(line: str) -> None:
    print(f"moviegen: {line}", file=sys.stderr, flush=True)


def _fail(line: str, code: int = FAILED) -> int:
    if os.environ.get("MOVIEGEN_DEBUG") == "1":
        traceback.print_exc()
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    _say(" ".join(line.split()))
    return code


if __name__ == "__main__":
    sys.exit(main())
