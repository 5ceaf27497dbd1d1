"""Puts the studio together: one host, one queue, every route, and the command that serves them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from ..errors import HostError
from ..registry import OWN_PACK
from ..run import Host
from .describe import pack_name
from .events import Events
from .jobs import JobQueue
from .machine import MachineRoutes
from .media import MediaRoutes
from .pages import PageRoutes, frontend_folder
from .queue_routes import QueueRoutes
from .security import Handler, explain, guard
from .userdata import LARGEST_FILE, UserRoutes

ADDRESS = "127.0.0.1"
FIRST_TEMPLATE = "text_to_video"
QUEUE: web.AppKey[JobQueue] = web.AppKey("queue", JobQueue)
NODES: web.AppKey[asyncio.Task[None]] = web.AppKey("nodes", asyncio.Task)
# Everything else can be answered before the node packs are read.
NEED_NODES = {QueueRoutes.object_info, QueueRoutes.one_object, QueueRoutes.submit, PageRoutes.templates}
NEED_NODES |= {MachineRoutes.replacements}


@web.middleware
async def wait_for_nodes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Holds requests about nodes back until the packs are read."""
    if getattr(request.match_info.handler, "__func__", None) in NEED_NODES:
        await asyncio.shield(request.app[NODES])
    return await handler(request)


def build_app(
    folder: Path, *, packs: Iterable[str | Path] | None = None, frontend: Path | None = None
) -> web.Application:
    """The server over `folder`/{input,output,user}; `frontend` defaults to the installed package."""
    start = None
    if packs is None:
        start = "/?" + urlencode({"template": FIRST_TEMPLATE, "source": pack_name(OWN_PACK)})
    host = Host(packs, output=folder / "output", input_directory=folder / "input", load=False)
    host.session.confined = True
    for part in (host.session.output_directory, host.session.input_directory):
        part.mkdir(parents=True, exist_ok=True)
    events = Events()
    queue = JobQueue(host, events)
    pages = PageRoutes(host.registry, host.packs, frontend or frontend_folder(), start=start)
    machine = MachineRoutes(events)
    app = web.Application(middlewares=[guard, explain, wait_for_nodes], client_max_size=LARGEST_FILE)
    both = [web.get("/ws", events.connect)]
    for group in (QueueRoutes(queue, events), MediaRoutes(host.session), UserRoutes(folder / "user"), machine, pages):
        both += group.routes()
    # Browsers and scripts use both forms; only a page's own files have no second one.
    app.add_routes([web.RouteDef(one.method, f"/api{one.path}", one.handler, one.kwargs) for one in both])
    app.add_routes([*both, *machine.internal(), *pages.files()])

    async def load(app: web.Application) -> None:
        # The page comes up while the packs import their libraries on another core.
        app[NODES] = asyncio.create_task(asyncio.to_thread(host.load))

    async def close(app: web.Application) -> None:
        await events.close()

    async def end(app: web.Application) -> None:
        await asyncio.wait([app[NODES]])
        await asyncio.to_thread(queue.stop)

    async def log(app: web.Application) -> AsyncIterator[None]:
        with machine.collecting():
            yield

    app.cleanup_ctx.append(log)
    app.on_startup.append(load)
    app.on_shutdown.append(close)
    app.on_cleanup.append(end)
    app[QUEUE] = queue
    return app


def serve(
    folder: Path,
    *,
    port: int = 8188,
    open_browser: bool = True,
    packs: Iterable[str | Path] | None = None,
    frontend: Path | None = None,
) -> int:
    """Serves `build_app` until Ctrl-C; the exit code is 0, or 2 when it cannot start."""
    try:
        listening = _listen(port)
        app = build_app(folder, packs=packs, frontend=frontend)
        address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(app, listening, address, folder, open_browser))
    except HostError as error:
        sys.stderr.write("".join(f"moviegen: {problem}\n" for problem in error.problems))
        return 2
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
    nodes = app[NODES]

    def end(task: asyncio.Task[None]) -> None:
        # A pack that cannot be read ends the studio.
        if not task.cancelled() and task.exception() is not None:
            done.set()

    nodes.add_done_callback(end)
    try:
        await done.wait()
    finally:
        await runner.cleanup()
    if nodes.done() and not nodes.cancelled():
        nodes.result()
