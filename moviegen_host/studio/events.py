"""What the browser hears while a graph runs: websocket messages, sent from any thread."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from .media import LARGEST_UPLOAD

PREVIEW, TEXT, PREVIEW_NAMED = 1, 3, 4  # kinds of binary frames
JPEG = 1
WAITING = 256  # messages a slow browser may lag behind before previews are left out
FEATURES = {
    "supports_preview_metadata": True,
    "max_upload_size": LARGEST_UPLOAD,
    "node_replacements": True,
    "assets": False,
    "extension": {"manager": {"supports_v4": False}},
}


@dataclass(eq=False)
class Client:
    """One open page. A tab and its duplicate share one name."""

    name: str
    socket: web.WebSocketResponse
    features: dict[str, Any] = field(default_factory=dict)
    outbox: asyncio.Queue[str | bytes] = field(default_factory=asyncio.Queue)


class Events:
    """Every open page."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.clients: list[Client] = []
        self.remaining = 0  # jobs that wait or run
        self.running: dict[str, dict[str, Any]] = {}  # last `executing` message of each page

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Handler of /ws: greets the page, then passes messages on until it leaves."""
        socket = web.WebSocketResponse(heartbeat=30, max_msg_size=1 << 20)
        await socket.prepare(request)
        self.loop = asyncio.get_running_loop()
        name = request.query.get("clientId") or uuid.uuid4().hex
        client = Client(name, socket)
        self.clients.append(client)
        sender = asyncio.create_task(self._send(client))
        self._queue(client, "status", {**self._status(), "sid": name})
        if name in self.running:
            self._queue(client, "executing", self.running[name])
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hear(client, message.data)
        finally:
            sender.cancel()
            self.clients.remove(client)
        return socket

    async def close(self) -> None:
        """Says goodbye to every page."""
        for client in list(self.clients):
            await client.socket.close(code=1001)

    def publish(self, kind: str, data: dict[str, Any], page: str | None = None) -> None:
        """Sends a message to one page, or to all; callable from any thread."""
        stamped = {**data, "timestamp": round(time.time() * 1000)}
        self._call(self._publish, kind, stamped, page)

    def status(self, remaining: int) -> None:
        """Tells every page how many jobs are left."""
        self.remaining = remaining
        self._call(self._publish, "status", self._status(), None)

    def preview(self, picture: bytes, node: dict[str, Any], page: str | None) -> None:
        """Sends a JPEG of a node's unfinished work."""
        self._call(self._preview, picture, node, page)

    def text(self, text: str, node_id: str, page: str | None) -> None:
        """Shows a line below a node."""
        name = node_id.encode()
        self._call(self._binary, struct.pack(">II", TEXT, len(name)) + name + text.encode(), page)

    def watched(self, page: str | None) -> bool:
        """Whether a page, or any for None, is open: only then is drawing a preview worth its time."""
        return any(page in (None, client.name) for client in self.clients)

    def _status(self) -> dict[str, Any]:
        return {"status": {"exec_info": {"queue_remaining": self.remaining}}}

    def _call(self, function: Any, *arguments: Any) -> None:
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *arguments)

    def _publish(self, kind: str, data: dict[str, Any], page: str | None) -> None:
        if kind == "executing" and page is not None:
            self.running[page] = data
            if data["node"] is None:
                del self.running[page]
        for client in self.clients:
            if page in (None, client.name):
                self._queue(client, kind, data)

    def _preview(self, picture: bytes, node: dict[str, Any], page: str | None) -> None:
        about = json.dumps({**node, "image_type": "image/jpeg"}).encode()
        named = struct.pack(">II", PREVIEW_NAMED, len(about)) + about + picture
        plain = struct.pack(">II", PREVIEW, JPEG) + picture
        for client in self.clients:
            if page in (None, client.name) and client.outbox.qsize() < WAITING:
                client.outbox.put_nowait(named if client.features.get("supports_preview_metadata") else plain)

    def _binary(self, frame: bytes, page: str | None) -> None:
        for client in self.clients:
            if page in (None, client.name) and client.outbox.qsize() < WAITING:
                client.outbox.put_nowait(frame)

    @staticmethod
    def _queue(client: Client, kind: str, data: dict[str, Any]) -> None:
        client.outbox.put_nowait(json.dumps({"type": kind, "data": data}, default=str))

    def _hear(self, client: Client, text: str) -> None:
        try:
            message = json.loads(text)
        except json.JSONDecodeError:
            return
        if isinstance(message, dict) and message.get("type") == "feature_flags":
            client.features = message.get("data") or {}
            self._queue(client, "feature_flags", FEATURES)

    @staticmethod
    async def _send(client: Client) -> None:
        while True:
            message = await client.outbox.get()
            try:
                if isinstance(message, bytes):
                    await client.socket.send_bytes(message)
                else:
                    await client.socket.send_str(message)
            except (ConnectionError, RuntimeError):
                return
