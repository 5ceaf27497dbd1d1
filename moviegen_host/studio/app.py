"""Puts the studio together: one host, one queue, every route, and the command that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from ..errors import HostError
from ..run import Host
from .describe import OWN_PACK, pack_name
from .events import Events
from .jobs import JobQueue
from .machine import MachineRoutes
from .media import MediaRoutes
from .pages import PageRoutes, frontend_folder
from .queue_routes import QueueRoutes
from .security import explain, guard
from .userdata import LARGEST_FILE, UserRoutes

ADDRESS = "127.0.0.1"
FIRST_TEMPLATE = "text_to_video"
QUEUE: web.AppKey[JobQueue] = web.AppKey("queue", JobQueue)


def build_app(
    folder: Path, *, packs: Iterable[str | Path] | None = None, frontend: Path | None = None
) -> web.Application:
    """The server over `folder`/{input,output,user}; `frontend` defaults to the installed package."""
    start = None
    if packs is None:
        start = "/?" + urlencode({"template": FIRST_TEMPLATE, "source": pack_name(OWN_PACK)})
    host = Host(packs, output=folder / "output", input_directory=folder / "input")
    host.session.confined = True
    for part in (host.session.output_directory, host.session.input_directory):
        part.mkdir(parents=True, exist_ok=True)
    events = Events()
    queue = JobQueue(host, events)
    pages = PageRoutes(host.registry, frontend or frontend_folder(), start=start)
    machine = MachineRoutes(events)
    logging.getLogger("moviegen_host").addHandler(machine)
    app = web.Application(middlewares=[guard, explain], client_max_size=LARGEST_FILE)
    both = [web.get("/ws", events.connect)]
    for group in (QueueRoutes(queue, events), MediaRoutes(host.session), UserRoutes(folder / "user"), machine, pages):
        both += group.routes()
    # Browsers and scripts use both forms; only a page's own files have no second one.
    app.add_routes([web.RouteDef(one.method, f"/api{one.path}", one.handler, one.kwargs) for one in both])
    app.add_routes([*both, *machine.internal(), *pages.files()])

    async def close(app: web.Application) -> None:
        await events.close()

    async def end(app: web.Application) -> None:
        await asyncio.to_thread(queue.stop)
        logging.getLogger("moviegen_host").removeHandler(machine)

    app.on_shutdown.append(close)
    app.on_cleanup.append(end)
    app[QUEUE] = queue
    return app


def serve(folder: Path, *, port: int = 8188, open_browser: bool = True) -> int:
    """Serves until Ctrl-C; the exit code is 0, or 2 when it cannot start."""
    try:
        listening = _listen(port)
        app = build_app(folder)
    except HostError as error:
        sys.stderr.write("".join(f"moviegen: {problem}\n" for problem in error.problems))
        return 2
    address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, listening, address, folder, open_browser))
    return 0


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    # Without it a restart would wait for the old connections to be forgotten.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
    except (OSError, OverflowError) as error:
        raise HostError(f"port {port} cannot be used ({error}); choose another with --port") from error
    return listening


async def _serve(app: web.Application, listening: socket.socket, address: str, folder: Path, opened: bool) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    sys.stdout.write(f"studio: {address}  (files in {folder}; Ctrl-C ends)\n")
    sys.stdout.flush()
    done = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(name, done.set)
    if opened:
        webbrowser.open(address)
    # Libraries are read while the user looks at the first page, so that the first run starts at once.
    warm = asyncio.create_task(asyncio.to_thread(_import_torch))
    try:
        await done.wait()
    finally:
        warm.cancel()
        await runner.cleanup()


def _import_torch() -> None:
    import torch  # noqa: F401
