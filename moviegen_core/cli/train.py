"""moviegen train, moviegen evaluate."""

from __future__ import annotations

import argparse
import inspect
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ..config import fitting
from ..errors import ConfigError
from .common import Progress, add_placement, add_settings, check_new, check_target, plain, say, settings_of


def add_train(commands: Any) -> None:
    """The parser of `train`."""
    train = commands.add_parser("train", help="train a model by its recipe; repeat after a stop to resume")
    train.add_argument("recipe", help="nano (all shipped models, in order), one of them, or lora (adapt one)")
    train.add_argument("--output", type=Path, metavar="DIR", help="clips, caches, checkpoints, metrics (runs/nano)")
    train.add_argument(
        "--ship", type=Path, metavar="DIR", help="receives the trained weights (the package's own folder)"
    )
    train.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="continue what is there")
    train.add_argument("--minutes-scale", type=float, default=1.0, metavar="X", help="factor on every time limit")
    train.add_argument(
        "--strategy",
        default="ddp",
        metavar="NAME",
        help="what processes of torchrun share: ddp gradients, fsdp weights",
    )
    train.add_argument("--workers", type=int, default=1, help="processes that draw clips (default: %(default)d)")
    add_settings(train, "a field of the recipe, such as --set joint.minutes=20; with nano: nano-video.joint.minutes=20")
    add_placement(train, "auto, float32, bfloat16")
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> None:
    from ..train.run import run

    output = run(
        arguments.recipe,
        arguments.output,
        resume=arguments.resume,
        minutes_scale=arguments.minutes_scale,
        settings=settings_of(arguments),
        ship=arguments.ship,
        device=arguments.device,
        dtype=arguments.dtype,
        render_workers=arguments.workers,
        strategy=arguments.strategy,
    )
    print(output)


def add_average(commands: Any) -> None:
    """The parser of `average`."""
    parser = commands.add_parser("average", help="the mean of weights that several trainings left, as one file")
    parser.add_argument("sources", type=Path, nargs="+", metavar="FILE", help="weights of one network and size")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--shares", type=float, nargs="+", metavar="X", help="how much each counts (all alike)")
    parser.add_argument("--force", action="store_true", help="overwrite what is there, but never a source")
    parser.set_defaults(run=_average)


def _average(arguments: argparse.Namespace) -> None:
    check_target(arguments.output, (".safetensors",))
    from ..models import loading
    from ..train.average import average_files

    given = [file for source in arguments.sources for file in loading.files_of(source)]
    check_new(arguments.output, arguments.force, given)
    print(average_files(arguments.sources, arguments.output, arguments.shares))


def add_evaluate(commands: Any) -> None:
    """The parser of `evaluate`."""
    evaluate = commands.add_parser("evaluate", help="measure the models; writes figures and tables")
    evaluate.add_argument("bench", help="tae, judge, video, path, loss, text, sound, words, codec or match")
    evaluate.add_argument("--output", type=Path, default=Path("out/evaluate"), metavar="DIR", help="(%(default)s)")
    add_settings(evaluate, "an option of the bench, such as --set prompts=50")
    evaluate.add_argument("--record", action="store_true", help="enter the figures in the shipped weights' manifest")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from .. import evaluate
    from ..evaluate.record import check_recorded, figures, record

    bench = evaluate.bench(arguments.bench)
    known, hints = inspect.signature(bench).parameters, get_type_hints(bench)
    options: dict[str, Any] = {}
    for name, text in settings_of(arguments).items():
        if name not in known or name in ("output", "on_clip"):
            names = ", ".join(name for name in known if name not in ("output", "on_clip"))
            raise ConfigError(f"the bench {arguments.bench} has no option {name!r}; it has {names}")
        options[name] = fitting(name, plain(text), hints[name])
    if arguments.record:
        check_recorded(arguments.bench, str(options.get("model", "nano")))
    if "on_clip" in known:
        options["on_clip"] = Bars()
    keep_earlier(arguments.output, arguments.bench)
    report = evaluate.run(arguments.bench, arguments.output, **options)
    if arguments.record:
        say(f"recorded in the manifest: {', '.join(record(arguments.bench, report)) or 'nothing'}")
    table = arguments.output / f"{arguments.bench}.md"
    if table.is_file():
        print(table.read_text(encoding="utf-8"))
    else:
        _tell(figures(report))
    say(f"everything measured is in {arguments.output / arguments.bench}.json")


def keep_earlier(folder: Path, bench: str) -> None:
    """Give what a bench measured before a number, instead of writing over it."""
    if not (folder / f"{bench}.json").exists():
        return
    number = next(count for count in itertools.count(1) if not (folder / f"{bench}-{count}.json").exists())
    for ending in (".json", ".md"):
        if (folder / f"{bench}{ending}").exists():
            (folder / f"{bench}{ending}").rename(folder / f"{bench}-{number}{ending}")
    say(f"the figures of before are kept as {folder / bench}-{number}.json")


def _tell(numbers: Mapping[str, Any], before: str = "") -> None:
    """One line a figure, nested names joined."""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            _tell(value, f"{before}{name}, ")
        else:
            print(f"{before}{name}: {value:g}")


class Bars:
    """Progress of the parts of a bench, each of which begins when the one before it ends."""

    def __init__(self) -> None:
        self.bars: dict[str, Progress] = {}
        self.last = time.monotonic()

    def __call__(self, what: str, done: int, count: int) -> None:
        """`done` of the `count` clips of part `what` are measured."""
        if what not in self.bars:
            self.bars[what] = Progress(what, "clip", self.last)
        self.bars[what].show(done, count)
        self.last = time.monotonic()
