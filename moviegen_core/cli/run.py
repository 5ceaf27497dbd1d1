"""Workflows without ComfyUI: moviegen run, moviegen studio."""

from __future__ import annotations

import argparse
import importlib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .common import add_settings, settings_of


def add_run(commands: Any) -> None:
    """The parser of `run`."""
    run = commands.add_parser("run", help="run a workflow file without ComfyUI")
    run.add_argument("workflow", type=Path, help="a workflow of ComfyUI, in UI or API format")
    add_settings(run, "an input of the workflow, such as --set seed=7")
    run.add_argument("--list-settings", action="store_true", help="show what --set can change, and run nothing")
    run.add_argument("--input", type=Path, metavar="DIR", help="where load nodes look (default: beside the workflow)")
    run.add_argument("--output", type=Path, default=Path("out"), metavar="DIR", help="default: %(default)s")
    run.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Any:
    # The host stands beside the library, not below it: reached by name at the moment it is wanted.
    host = importlib.import_module("moviegen_host.__main__")
    given = (arguments.workflow, settings_of(arguments), arguments.output)
    if not arguments.list_settings:
        return host.run(*given, input_directory=arguments.input)
    # The host would take a reader that went away, such as head, for an error of the workflow.
    with redirect_stdout(StringIO()) as listed:
        code = host.run(*given, input_directory=arguments.input, list_only=True)
    print(listed.getvalue(), end="")
    return code


def add_studio(commands: Any) -> None:
    """The parser of `studio`."""
    studio = commands.add_parser("studio", help="open the graph editor in a browser, without ComfyUI")
    studio.add_argument("--port", type=int, default=8188, help="default: %(default)s; 0 takes a free one")
    studio.add_argument("--no-open", action="store_true", help="only print the address")
    studio.add_argument(
        "--folder", type=Path, default=Path("studio"), metavar="DIR", help="keeps input, output, user (%(default)s)"
    )
    studio.set_defaults(run=_studio)


def _studio(arguments: argparse.Namespace) -> Any:
    if not 0 <= arguments.port <= 65535:
        raise ConfigError(f"--port {arguments.port} is outside of 0 to 65535; 0 takes a free one")
    if arguments.folder.exists() and not arguments.folder.is_dir():
        raise ConfigError(f"--folder {arguments.folder} is a file; name a folder, it is made where it is missing")
    try:
        app = importlib.import_module("moviegen_host.studio.app")
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        hint = "the studio is not installed; in the project's folder run: pip install -e '.[studio]'"
        raise ConfigError(hint) from None
    return app.serve(arguments.folder, port=arguments.port, open_browser=not arguments.no_open)
