"""The editor over two servers: the studio, and a real ComfyUI at $COMFYUI_DIR (its Python is $COMFYUI_PYTHON)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "editor.py"


@pytest.fixture(scope="session")
def editor():
    """scripts/editor.py: servers, the browser and the steps of a user."""
    spec = importlib.util.spec_from_file_location("moviegen_editor", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def chromium(editor):
    """A browser without a window."""
    pytest.importorskip("playwright.sync_api")
    if editor.chromium_program() is None:
        pytest.skip("there is no Chromium; install Debian's package chromium or name one in $CHROMIUM")
    with editor.chromium() as browser:
        yield browser


@pytest.fixture(scope="session", params=["studio", pytest.param("comfyui", marks=pytest.mark.comfy)])
def address(request, editor, tmp_path_factory):
    """A running server's address; the films and the music that templates name are in its input folder."""
    folder = tmp_path_factory.mktemp(request.param)
    editor.write_media(folder / "input")
    if request.param == "studio":
        pytest.importorskip("comfyui_frontend_package")
        server = editor.studio(folder)
    else:
        program = os.environ.get("COMFYUI_DIR")
        if not program:
            pytest.skip("needs a ComfyUI folder in $COMFYUI_DIR")
        server = editor.comfyui(folder, Path(program), os.environ.get("COMFYUI_PYTHON", sys.executable))
    with server as address:
        yield address


@pytest.fixture
def page(chromium, editor):
    """An empty tab that collects complaints."""
    with editor.tab(chromium) as tab:
        yield tab
