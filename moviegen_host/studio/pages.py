"""The frontend's own files, and what each node pack adds: scripts, help, templates, blueprints, languages."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from ..document import check_document, check_prompt
from ..errors import HostError
from ..registry import VIRTUAL, Registry
from .describe import pack_name
from .security import inside

logger = logging.getLogger(__name__)

TEMPLATES = ("workflows", "workflow", "example_workflows", "examples", "example")
LANGUAGE_PARTS = {"nodeDefs": "nodeDefs.json", "commands": "commands.json", "settings": "settings.json"}
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm"}
TYPES |= {".json": "application/json", ".md": "text/markdown", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
TYPES |= {".html": "text/html", ".ico": "image/x-icon", ".webp": "image/webp"}
SEEN = "moviegen_studio"  # cookie of a browser that has been here


def frontend_folder() -> Path:
    """Where the installed frontend lies; HostError says how to get it."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    folder = next((Path(place) / "static" for place in places if (Path(place) / "static/index.html").is_file()), None)
    if folder is None:
        raise HostError("the graph editor is not installed; in the project's folder run: pip install -e '.[studio]'")
    return folder


class PageRoutes:
    """Handlers over the frontend's folder and the folders of packs, whose nodes `registry` knows once they are read."""

    def __init__(self, registry: Registry, packs: Iterable[Path], frontend: Path, *, start: str | None = None) -> None:
        self.registry, self.frontend, self.start = registry, frontend.resolve(), start
        self.packs = {pack_name(root): root for root in packs}

    def routes(self) -> list[web.RouteDef]:
        """Routes that stand both with and without /api."""
        return [
            web.get("/extensions", self.extensions),
            web.get("/i18n", self.languages),
            web.get("/workflow_templates", self.templates),
            web.get("/workflow_templates/{pack}/{file:.+}", self.template),
            web.get("/global_subgraphs", self.blueprints),
            web.get("/global_subgraphs/{id}", self.blueprint),
        ]

    def files(self) -> list[web.RouteDef]:
        """Routes of plain files, tried after all others."""
        return [
            web.get("/", self.index),
            web.get("/user.css", self.no_style),
            web.get("/templates/{file:.+}", self.no_template),
            web.get("/extensions/{pack}/{file:.+}", self.pack_file),
            web.get("/{file:.+}", self.frontend_file),
        ]

    async def index(self, request: web.Request) -> web.StreamResponse:
        """The page; a browser that was never here opens the first template."""
        if self.start and not request.query and SEEN not in request.cookies:
            redirect = web.HTTPFound(self.start)
            redirect.set_cookie(SEEN, "1", max_age=10**9, samesite="Strict", httponly=True)
            raise redirect
        headers = {"Cache-Control": "no-cache"}
        return web.FileResponse(self.frontend / "index.html", headers=headers)

    async def no_style(self, request: web.Request) -> web.Response:
        """A user has no style sheet of their own."""
        return web.Response(content_type="text/css")

    async def no_template(self, request: web.Request) -> web.Response:
        """ComfyUI's own templates are not here; the packs' are."""
        name = request.match_info["file"]
        if not name.startswith("index"):
            raise web.HTTPNotFound(text=f"there is no template {name!r}")
        return web.json_response({} if "logo" in name else [])

    async def frontend_file(self, request: web.Request) -> web.StreamResponse:
        """A file of the frontend; those in assets/ carry their hash in the name and are kept by the browser."""
        name = request.match_info["file"]
        lasting = name.startswith("assets/")
        return _file(self.frontend, name, "public, max-age=31536000, immutable" if lasting else "no-cache")

    async def pack_file(self, request: web.Request) -> web.StreamResponse:
        """A script or help page of a pack."""
        pack, name = request.match_info["pack"], request.match_info["file"]
        if pack not in self.packs:
            return _file(self.frontend, f"extensions/{pack}/{name}", "no-cache")
        return _file(self.packs[pack] / "web", name, "no-cache")

    async def extensions(self, request: web.Request) -> web.Response:
        """Scripts the frontend loads at start."""
        own = sorted(path.relative_to(self.frontend) for path in (self.frontend / "extensions").rglob("*.js"))
        scripts = [f"/{path.as_posix()}" for path in own]
        for name, root in self.packs.items():
            found = sorted((root / "web").rglob("*.js"))
            scripts += [f"/extensions/{name}/{path.relative_to(root / 'web').as_posix()}" for path in found]
        return web.json_response(scripts)

    async def languages(self, request: web.Request) -> web.Response:
        """Names and tooltips in other languages."""
        merged: dict[str, Any] = {}
        for root in self.packs.values():
            for folder in sorted((root / "locales").glob("*/")):
                texts = merged.setdefault(folder.name, {})
                _merge(texts, _read(folder / "main.json"))
                for part, file in LANGUAGE_PARTS.items():
                    if found := _read(folder / file):
                        _merge(texts, {part: found})
        return web.json_response(merged)

    async def templates(self, request: web.Request) -> web.Response:
        """Names of the workflows of each pack whose nodes are all here; the others need ComfyUI."""
        found = {}
        for name, root in self.packs.items():
            files = [file for folder in TEMPLATES for file in sorted((root / folder).glob("*.json"))]
            files = [file for file in files if self._runs_here(file)]
            if files:
                found[name] = [file.stem for file in files]
        return web.json_response(found)

    def _runs_here(self, file: Path) -> bool:
        document = _read(file)
        known = self.registry.nodes.keys() | VIRTUAL
        try:
            if "nodes" not in document:
                check_prompt(document)
                return bool(document) and all(node["class_type"] in known for node in document.values())
            check_document(document)
        except HostError:
            return False  # packs keep other JSON beside their workflows
        subgraphs = (document.get("definitions") or {}).get("subgraphs") or []
        known |= {one["id"] for one in subgraphs}
        return all(node["type"] in known for level in (document, *subgraphs) for node in level["nodes"])

    async def template(self, request: web.Request) -> web.StreamResponse:
        """A workflow, or its picture."""
        root = self.packs.get(request.match_info["pack"])
        name = request.match_info["file"]
        for folder in TEMPLATES if root is not None else ():
            assert root is not None
            if inside(root / folder, name).is_file():
                return _file(root / folder, name, "no-cache")
        raise web.HTTPNotFound(text=f"there is no template {name!r}")

    def _blueprints(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name, root in self.packs.items():
            for file in sorted((root / "subgraphs").glob("*.json")):
                key = hashlib.sha256(f"{name}/{file.name}".encode()).hexdigest()
                entry = {"source": "custom_node", "name": file.stem, "info": {"node_pack": f"custom_nodes.{name}"}}
                found[key] = {**entry, "path": file}
        return found

    async def blueprints(self, request: web.Request) -> web.Response:
        """Subgraphs that packs bring."""
        listed = self._blueprints()
        return web.json_response({key: {**one, "path": None} for key, one in listed.items()})

    async def blueprint(self, request: web.Request) -> web.Response:
        """One subgraph with its content."""
        entry = self._blueprints().get(request.match_info["id"])
        if entry is None:
            raise web.HTTPNotFound(text="there is no such blueprint")
        return web.json_response({**entry, "path": None, "data": entry["path"].read_text(encoding="utf-8")})


def _file(root: Path, name: str, cache: str) -> web.FileResponse:
    path = inside(root, name)
    if not path.is_file():
        raise web.HTTPNotFound(text=f"there is no file {name!r}")
    headers = {"Cache-Control": cache}
    if kind := TYPES.get(path.suffix):
        # Machines differ in the types they know for these endings, and browsers refuse scripts of a wrong one.
        headers["Content-Type"] = kind
    return web.FileResponse(path, headers=headers)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s is no JSON and is left out: %s", path, error)
        return {}
    if not isinstance(content, dict):
        logger.warning("%s holds a %s, not an object, and is left out", path, type(content).__name__)
        return {}
    return content


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
