"""A studio over the small pack, asked by aiohttp's test client; a two-file frontend stands for the real one."""

import asyncio
import shutil
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")
from aiohttp.test_utils import TestClient, TestServer

from moviegen_host.studio.app import build_app


@pytest.fixture
def frontend(tmp_path) -> Path:
    """The frontend's folder."""
    folder = tmp_path / "frontend"
    (folder / "assets").mkdir(parents=True)
    (folder / "extensions/core").mkdir(parents=True)
    (folder / "index.html").write_text("<title>editor</title>")
    (folder / "assets/main.js").write_text("export {};")
    (folder / "extensions/core/one.js").write_text("")
    return folder


@pytest.fixture
def grown_pack(pack, tmp_path) -> Path:
    """The small pack with help, scripts, a template, a blueprint and a language."""
    folder = tmp_path / "grown-pack"
    shutil.copytree(pack, folder)
    files = {
        "web/js/x.js": "export {};",
        "web/docs/TestAdd.md": "# Add",
        "workflows/adding.json": '{"nodes": []}',
        "workflows/adding.jpg": "picture",
        "workflows/foreign.json": '{"nodes": [{"id": 1, "type": "OnlyInComfyUI"}]}',
        "subgraphs/Adder.json": '{"definitions": {}}',
        "locales/de/nodeDefs.json": '{"TestAdd": {"display_name": "Addieren"}}',
        "locales/de/main.json": '{"hello": "hallo"}',
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def home(tmp_path) -> Path:
    """The studio's folder."""
    return tmp_path / "studio"


@pytest.fixture
def visit(grown_pack, frontend, home):
    """Runs `scenario(client)` against a fresh studio and gives what it returns."""

    def run(scenario, **options):
        async def whole():
            app = build_app(home, packs=[grown_pack], frontend=frontend)
            async with TestClient(TestServer(app)) as client:
                return await asyncio.wait_for(scenario(client, **options), 60)

        return asyncio.run(whole())

    return run
