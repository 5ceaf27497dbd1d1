"""The editor over two servers: the studio, and a real ComfyUI at $COMFYUI_DIR (its Python is $COMFYUI_PYTHON)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from moviegen_core.media.movie import write_movie
from moviegen_core.media.sound import write_sound

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def editor():
    """scripts/editor.py: servers, the browser and the steps of a user."""
    spec = importlib.util.spec_from_file_location("moviegen_editor", ROOT / "scripts" / "editor.py")
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


def write_media(folder: Path) -> None:
    """Films and a sound under the names that templates load."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("film.mp4", "first.mp4", "second.mp4"):
        write_movie(torch.zeros(3, 8, 64, 64), folder / name, 16, torch.zeros(1, 24000))
    write_sound(torch.zeros(1, 4800), 48000, folder / "music.wav")
    shutil.copy(ROOT / "workflows" / "bouncing_ball.mp4", folder)


@pytest.fixture(scope="session", params=["studio", pytest.param("comfyui", marks=pytest.mark.comfy)])
def address(request, editor, tmp_path_factory):
    """A running server's address; the films and the music that templates name are in its input folder."""
    folder = tmp_path_factory.mktemp(request.param)
    write_media(folder / "input")
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
