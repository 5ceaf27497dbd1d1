"""Who may ask, and where files may lie: the server is for this machine's own browser only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from ..errors import HostError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Files of these kinds could act in the page's name when opened from it.
ACTIVE = frozenset({"text/html", "application/xhtml+xml", "text/javascript", "application/javascript", "image/svg+xml"})
ACTIVE |= {"text/css", "text/xml", "application/xml"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses other host names (DNS rebinding) and requests that another site's page sends."""
    host = _name(request.headers.get("Host", ""))
    if host not in LOOPBACK:
        raise web.HTTPForbidden(text=f"the host {host!r} is not this machine; open the studio as http://127.0.0.1")
    origin = request.headers.get("Origin")
    if origin is not None and _place(origin) != request.headers["Host"].lower():
        raise web.HTTPForbidden(text=f"the page {origin} may not use the studio; open it in its own tab")
    foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    # A link on another page may open the editor, and nothing else.
    if foreign and not (request.headers.get("Sec-Fetch-Mode") == "navigate" and request.path == "/"):
        raise web.HTTPForbidden(text="another site's page may not use the studio; open it in its own tab")
    response = await handler(request)
    if not response.prepared:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns a full disk, an unreadable file or pack into its sentence instead of a bare 500."""
    from moviegen_core.errors import MovieGenError

    try:
        return await handler(request)
    except ConnectionError:
        raise
    except (HostError, MovieGenError, OSError) as error:
        raise web.HTTPInternalServerError(text=str(error)) from error


def inside(root: Path, name: str) -> Path:
    """The file `name` below `root`; 403 when it would lie elsewhere, by `..`, an absolute name or a link."""
    if "\0" in name or "\\" in name:
        raise web.HTTPBadRequest(text=f"{name!r} is no file name; use letters, digits and /")
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError) as error:
        raise web.HTTPBadRequest(text=f"{name!r} is no file name: {error}") from None
    if root.resolve() not in path.parents and path != root.resolve():
        raise web.HTTPForbidden(text=f"{name!r} leaves its folder; give a name inside it")
    return path


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
