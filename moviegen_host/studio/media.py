"""Routes for media: results and previews to look at, files to upload."""

from __future__ import annotations

import asyncio
import hashlib
import io
import mimetypes
import shutil
import tempfile
from pathlib import Path

from aiohttp import BodyPartReader, web

from ..session import Session
from ..stock_nodes import FILMS, PICTURES, SOUNDS, UNREADABLE
from .security import ACTIVE, inside

LARGEST_UPLOAD = 512 << 20  # bytes
LARGEST_FIELD = 4096  # bytes of a text field beside the file
LARGEST_FORM = 1 << 20  # bytes of a form beside its file
BLOCK = 1 << 20
WIDEST = 16383  # pixels that a WebP can hold in a row or column


class MediaRoutes:
    """Handlers over the folders of one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.naming = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """Every route of this module."""
        return [
            web.get("/view", self.view),
            web.post("/upload/image", self.upload),
            web.post("/upload/mask", self.upload),
        ]

    def folder(self, kind: str) -> Path:
        """The folder that the frontend calls input, output or temp."""
        if kind == "input":
            return self.session.input_directory
        if kind == "output":
            return self.session.output_directory
        if kind == "temp":
            return self.session.temp_directory
        raise web.HTTPBadRequest(text=f"there is no folder {kind!r}; use input, output or temp")

    async def view(self, request: web.Request) -> web.StreamResponse:
        """A file, or the part of it that a Range header names; pictures also smaller (`preview=webp;90`)."""
        name, annotated = request.query.get("filename", ""), request.query.get("type", "output")
        for kind in ("input", "output", "temp"):
            if name.endswith(f" [{kind}]"):
                name, annotated = name.removesuffix(f" [{kind}]"), kind
        root = self.folder(annotated)
        path = inside(root, f"{request.query.get('subfolder', '').strip('/')}/{name}".lstrip("/"))
        if not name or not path.is_file():
            raise web.HTTPNotFound(text=f"there is no file {name!r}")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        wanted, _, quality = request.query.get("preview", "").partition(";")
        if wanted in ("webp", "jpeg") and kind.startswith("image/"):
            picture = await asyncio.to_thread(_smaller, path, wanted, _quality(quality or "90"))
            return web.Response(body=picture, content_type=f"image/{wanted}")
        headers = {"Content-Type": "application/octet-stream" if kind in ACTIVE else kind}
        headers["Cache-Control"] = "no-cache"
        if kind in ACTIVE:
            headers["Content-Disposition"] = "attachment"
        return web.FileResponse(path, headers=headers)

    async def upload(self, request: web.Request) -> web.Response:
        """Takes one picture, film or sound (field `image`) with `type`, `subfolder`, `overwrite`."""
        if not request.content_type.startswith("multipart/"):
            raise web.HTTPBadRequest(reason="send the file as a form (multipart/form-data)")
        if (request.content_length or 0) > LARGEST_UPLOAD + LARGEST_FORM:
            raise _too_large(request.content_length or 0)
        root = self.folder("input")
        root.mkdir(parents=True, exist_ok=True)
        fields: dict[str, str] = {}
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=".upload_") as scratch:
            temporary, given = Path(scratch) / "file", ""
            form = await request.multipart()
            while (part := await form.next()) is not None:
                if not isinstance(part, BodyPartReader):
                    continue
                if part.name == "image" and part.filename and not given:
                    given = Path(part.filename.replace("\\", "/")).name
                    await _receive(part, temporary)
                elif part.name:
                    fields[part.name] = await _text(part, part.name)
            if not given:
                raise web.HTTPBadRequest(reason="the form holds no file; send it as the field 'image'")
            reason = await asyncio.to_thread(_problem, temporary, given)
            if reason:
                raise web.HTTPBadRequest(reason=reason)
            root = self.folder(fields.get("type") or "input")
            if root == self.session.output_directory:
                raise web.HTTPForbidden(reason="uploads go to the input folder; results stay as they are")
            subfolder = fields.get("subfolder", "").strip("/")
            target = inside(root, f"{subfolder}/{given}".lstrip("/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            async with self.naming:  # a name that is free stays so until the file has it
                if fields.get("overwrite") not in ("true", "1"):
                    target = await asyncio.to_thread(_unused, target, temporary)
                shutil.move(temporary, target)
        return web.json_response({"name": target.name, "subfolder": subfolder, "type": fields.get("type") or "input"})


def _too_large(size: int) -> web.HTTPRequestEntityTooLarge:
    limit = LARGEST_UPLOAD >> 20
    return web.HTTPRequestEntityTooLarge(LARGEST_UPLOAD, size, reason=f"the file exceeds {limit} MiB; make it shorter")


async def _text(part: BodyPartReader, name: str) -> str:
    value = b""
    # One read gives only what has arrived so far.
    while block := await part.read_chunk(LARGEST_FIELD):
        value += block
        if len(value) > LARGEST_FIELD:
            raise web.HTTPBadRequest(reason=f"the field {name[:40]!a} exceeds {LARGEST_FIELD} bytes; shorten it")
    return value.decode("utf-8", "replace")


async def _receive(part: BodyPartReader, target: Path) -> None:
    size = 0
    with target.open("wb") as stream:
        while block := await part.read_chunk(BLOCK):
            size += len(block)
            if size > LARGEST_UPLOAD:
                raise _too_large(size)
            stream.write(block)


def _problem(path: Path, name: str) -> str | None:
    """Why an uploaded file is refused; None when it can be opened as what its name says."""
    from PIL import Image

    from moviegen_core.media.files import opened

    ending = Path(name).suffix.lower()
    if ending not in PICTURES | FILMS | SOUNDS:
        return "files of this kind are not taken; choose a picture, film or sound"
    if path.stat().st_size == 0:
        return "the file is empty; choose another"
    try:
        if ending in PICTURES:
            with Image.open(path) as picture:
                picture.verify()
            return None
        with opened(path) as container:
            kinds = {stream.type for stream in container.streams}
    except Exception:
        # Decoders raise almost anything at damaged bytes.
        return f"the file is damaged or no {ending[1:]}; save it again"
    return None if kinds & {"video", "audio"} else "the file holds neither picture nor sound"


def _unused(target: Path, fresh: Path) -> Path:
    """A name that is free, or belongs to the same bytes."""
    number, candidate = 1, target
    while candidate.exists() and _digest(candidate) != _digest(fresh):
        candidate = target.with_name(f"{target.stem} ({number}){target.suffix}")
        number += 1
    return candidate


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.digest()


def _quality(text: str) -> int:
    if not (text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise web.HTTPBadRequest(text=f"a preview of quality {text[:20]!r} was asked for; use 1 to 100, as in webp;90")
    return int(text)


def _smaller(path: Path, kind: str, quality: int) -> bytes:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            stream = io.BytesIO()
            colored = picture.convert("RGB")
            colored.thumbnail((WIDEST, WIDEST))
            colored.save(stream, kind.upper(), quality=quality)
    except (Image.DecompressionBombError, *UNREADABLE):
        raise web.HTTPUnsupportedMediaType(text=f"{path.name} cannot be read as a picture") from None
    return stream.getvalue()
