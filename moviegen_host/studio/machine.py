"""Routes about the machine: versions, memory, folders of models, the log."""

from __future__ import annotations

import logging
import platform
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from .events import FEATURES, Events

LOGGERS = ("moviegen_host", "moviegen_core")
LINES = 500  # of the log that a page can read
# The frontend switches features on by ComfyUI's version; this host speaks the protocol of that one.
PROTOCOL = "0.33.0"


class MachineRoutes(logging.Handler):
    """Handlers; also collects the log for the editor's log panel."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.INFO)
        self.events = events
        self.lines: deque[dict[str, str]] = deque(maxlen=LINES)
        self.readers: set[str] = set()
        self.setFormatter(logging.Formatter("%(name)s: %(message)s\n"))

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps what is logged inside the block, from INFO on; other handlers keep their level."""
        root = logging.getLogger()
        handlers = [(one, one.level) for one in root.handlers]
        loggers = [(one, one.level) for one in map(logging.getLogger, LOGGERS)]
        for handler, level in handlers:
            # The level of the root logger does not hold what is passed up to it.
            handler.setLevel(max(level, root.level))
        for logger, _ in loggers:
            logger.setLevel(min(self.level, logger.getEffectiveLevel()))
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger, level in loggers:
                logger.removeHandler(self)
                logger.setLevel(level)
            for handler, level in handlers:
                handler.setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line, and sends it to the pages that follow the log."""
        entry = {"t": datetime.now(timezone.utc).isoformat(), "m": self.format(record)}
        self.lines.append(entry)
        for page in tuple(self.readers):
            self.events.publish("logs", {"entries": [entry], "size": None}, page)

    def routes(self) -> list[web.RouteDef]:
        """Routes that stand both with and without /api."""
        return [
            web.get("/features", self.features),
            web.get("/system_stats", self.system),
            web.get("/node_replacements", self.replacements),
            web.get("/embeddings", self.nothing),
            web.get("/models", self.nothing),
            web.get("/experiment/models", self.nothing),
            web.get("/models/{folder}", self.nothing),
            web.get("/experiment/models/{folder}", self.nothing),
        ]

    def internal(self) -> list[web.RouteDef]:
        """Routes below /internal."""
        return [
            web.get("/internal/logs", self.log),
            web.get("/internal/logs/raw", self.raw_log),
            web.patch("/internal/logs/subscribe", self.follow),
            web.get("/internal/folder_paths", self.folders),
            web.get("/internal/files/{kind}", self.nothing),
        ]

    async def features(self, request: web.Request) -> web.Response:
        """What this server can do."""
        return web.json_response(FEATURES)

    async def nothing(self, request: web.Request) -> web.Response:
        """An empty list: models are chosen in the pack's own loaders."""
        return web.json_response([])

    async def folders(self, request: web.Request) -> web.Response:
        """Folders of models: none that the editor could fill."""
        return web.json_response({})

    async def replacements(self, request: web.Request) -> web.Response:
        """Old node ids and what they became."""
        from ..comfy_api import replacements

        rules: dict[str, list[dict[str, Any]]] = {}
        for old, rule in replacements.items():
            rules[old] = [
                {
                    "new_node_id": rule.new_node_id,
                    "old_node_id": old,
                    "old_widget_ids": rule.old_widget_ids,
                    "input_mapping": rule.input_mapping or None,
                    "output_mapping": rule.output_mapping or None,
                }
            ]
        return web.json_response(rules)

    async def system(self, request: web.Request) -> web.Response:
        """Versions and memory (bytes)."""
        from moviegen_core.memory import memory_bytes

        total, free = memory_bytes()
        system = {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": PROTOCOL,
            "required_frontend_version": _version("comfyui-frontend-package"),
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": platform.python_version(),
            "pytorch_version": _version("torch"),
            "embedded_python": False,
            "argv": ["moviegen", "studio"],
        }
        memory = {"vram_total": total, "vram_free": free, "torch_vram_total": total, "torch_vram_free": free}
        return web.json_response({"system": system, "devices": [{"name": "cpu", "type": "cpu", "index": 0, **memory}]})

    async def log(self, request: web.Request) -> web.Response:
        """The log as one text."""
        return web.json_response("".join(f"{line['t']} - {line['m']}" for line in list(self.lines)))

    async def raw_log(self, request: web.Request) -> web.Response:
        """The log line by line."""
        return web.json_response({"entries": list(self.lines), "size": {"cols": 120, "rows": 50}})

    async def follow(self, request: web.Request) -> web.Response:
        """A page begins or ends to follow the log."""
        try:
            body = await request.json()
            page, enabled = str(body["clientId"]), bool(body["enabled"])
        except (ValueError, KeyError, TypeError):
            raise web.HTTPBadRequest(text="send {'clientId': ..., 'enabled': true or false}") from None
        if enabled and self.events.watched(page):
            self.readers.add(page)
        else:
            self.readers.discard(page)
        return web.Response()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
