"""What a user keeps: settings, workflows and other files of the editor, below one folder."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

from .security import inside

logger = logging.getLogger(__name__)

LARGEST_FILE = 32 << 20  # bytes
FIRST_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
}
# The editor asks for these at each start, and a browser's console counts every 404 as an error.
FIRST_FILES = {"user.css": "", "comfy.templates.json": "[]"}
FIRST_FOLDERS = ("workflows", "subgraphs")


class UserRoutes:
    """Handlers over the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._writing = threading.Lock()
        for folder in FIRST_FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name, content in FIRST_FILES.items():
            if not (root / name).exists():
                (root / name).write_text(content, encoding="utf-8")

    def routes(self) -> list[web.RouteDef]:
        """Every route of this module."""
        return [
            web.get("/users", self.users),
            web.get("/settings", self.settings),
            web.post("/settings", self.change_settings),
            web.get("/settings/{id}", self.setting),
            web.post("/settings/{id}", self.change_setting),
            web.get("/userdata", self.list_files),
            web.get("/v2/userdata", self.list_folder),
            web.get("/userdata/{file:.+}", self.read),
            web.post("/userdata/{file:.+}/move/{target:.+}", self.move),
            web.post("/userdata/{file:.+}", self.write),
            web.delete("/userdata/{file:.+}", self.delete),
        ]

    @property
    def settings_file(self) -> Path:
        """Where the settings are."""
        return self.root / "comfy.settings.json"

    async def users(self, request: web.Request) -> web.Response:
        """One user, whose data the server keeps."""
        return web.json_response({"storage": "server", "migrated": True})

    def read_settings(self) -> dict[str, Any]:
        """The settings; those of a first start when there are none or the file is damaged, which is then put aside."""
        try:
            found = json.loads(self.settings_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return dict(FIRST_SETTINGS)
        except OSError as error:
            text = f"{self.settings_file} cannot be read ({error.strerror}); make it readable or move it away"
            raise web.HTTPInternalServerError(text=text) from error
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        aside = _free(self.settings_file.with_suffix(".damaged.json"))
        self.settings_file.rename(aside)
        logger.warning("%s is damaged and now called %s; defaults are used", self.settings_file, aside.name)
        return dict(FIRST_SETTINGS)

    async def settings(self, request: web.Request) -> web.Response:
        """All settings."""
        return web.json_response(self.read_settings())

    async def setting(self, request: web.Request) -> web.Response:
        """One setting."""
        return web.json_response(self.read_settings().get(request.match_info["id"]))

    async def change_settings(self, request: web.Request) -> web.Response:
        """Several settings at once."""
        changes = await _json(request)
        if not isinstance(changes, dict):
            raise web.HTTPBadRequest(text="settings must be a JSON object")
        return self._change(changes)

    async def change_setting(self, request: web.Request) -> web.Response:
        """One setting; its value is the body."""
        return self._change({request.match_info["id"]: await _json(request)})

    def _change(self, changes: dict[str, Any]) -> web.Response:
        with self._writing:
            settings = {**self.read_settings(), **changes}
            _store(self.settings_file, json.dumps(settings, indent=2).encode())
        return web.Response()

    async def list_files(self, request: web.Request) -> web.Response:
        """Files of one folder; with `recurse` those below it, with `full_info` their sizes and times."""
        folder = self._path(request.query.get("dir", ""))
        if not folder.is_dir():
            raise web.HTTPNotFound(text="there is no such folder")
        deep = request.query.get("recurse", "").lower() == "true"
        files = sorted(path for path in (folder.rglob("*") if deep else folder.glob("*")) if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        if request.query.get("full_info", "").lower() == "true":
            return web.json_response([_info(path, name) for path, name in zip(files, names, strict=True)])
        if request.query.get("split", "").lower() == "true":
            return web.json_response([[name, *name.split("/")] for name in names])
        return web.json_response(names)

    async def list_folder(self, request: web.Request) -> web.Response:
        """Files and folders of one folder."""
        folder = self._path(request.query.get("path", ""))
        if not folder.is_dir():
            raise web.HTTPNotFound(text="there is no such folder")
        entries = []
        # An editor's lock is a link to nothing.
        for path in sorted(path for path in folder.iterdir() if path.is_file() or path.is_dir()):
            entry = _info(path, path.relative_to(self.root.resolve()).as_posix())
            entries.append({**entry, "name": path.name, "type": "directory" if path.is_dir() else "file"})
        return web.json_response(entries)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """A file's content."""
        path = self._path(request.match_info["file"])
        if not path.is_file():
            raise web.HTTPNotFound(text="there is no such file")
        kind = {".json": "application/json", ".css": "text/css"}.get(path.suffix, "application/octet-stream")
        return web.FileResponse(path, headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    async def write(self, request: web.Request) -> web.Response:
        """Writes a file; 409 when it is there and `overwrite=false`."""
        name = request.match_info["file"]
        path = self._changeable(name)
        if request.query.get("overwrite") == "false" and path.exists():
            raise web.HTTPConflict(text=f"{name!r} exists; choose another name")
        _store(path, await request.read())
        return self._answer(request, path)

    async def move(self, request: web.Request) -> web.Response:
        """Renames a file; 409 when the new name is taken and `overwrite=false`."""
        source, target = (self._changeable(request.match_info[part]) for part in ("file", "target"))
        if not source.is_file():
            raise web.HTTPNotFound(text="there is no such file")
        if request.query.get("overwrite") == "false" and target.exists():
            raise web.HTTPConflict(text="the new name is taken; choose another")
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
        return self._answer(request, target)

    async def delete(self, request: web.Request) -> web.Response:
        """Removes a file."""
        path = self._changeable(request.match_info["file"])
        if not path.is_file():
            raise web.HTTPNotFound(text="there is no such file")
        path.unlink()
        return web.Response(status=204)

    def _path(self, name: str) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        return inside(self.root, name)

    def _changeable(self, name: str) -> Path:
        path = self._path(name)
        if path.is_dir() or path == self.settings_file.resolve():
            raise web.HTTPForbidden(text=f"{name!r} cannot be changed here; choose another name")
        return path

    def _answer(self, request: web.Request, path: Path) -> web.Response:
        name = path.relative_to(self.root.resolve()).as_posix()
        full = request.query.get("full_info", "").lower() == "true"
        return web.json_response(_info(path, name) if full else name)


def _info(path: Path, name: str) -> dict[str, Any]:
    stat = path.stat()
    times = {"modified": round(stat.st_mtime * 1000), "created": round(stat.st_ctime * 1000)}
    return {"path": name, "size": stat.st_size, **times}


def _free(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
        number += 1
    return free


def _store(path: Path, content: bytes) -> None:
    from moviegen_core.media.files import replacing

    if len(content) > LARGEST_FILE:
        raise web.HTTPRequestEntityTooLarge(LARGEST_FILE, len(content), text=f"the limit is {LARGEST_FILE >> 20} MiB")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Path(temporary).write_bytes(content)


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the request is no JSON") from None
