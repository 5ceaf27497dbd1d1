"""Takes the README's pictures of the editor: python scripts/screenshots.py [studio] [comfyui]

Both open text_to_video, press Run, and show what stands there when the film is done. `comfyui` needs a ComfyUI folder
in $COMFYUI_DIR and its Python in $COMFYUI_PYTHON; both need Chromium and playwright (make browser).
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import editor
from PIL import Image

MEDIA = Path(__file__).resolve().parents[1] / "docs" / "media"
SIZE = {"width": 1560, "height": 860}
SETTINGS = {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False}
QUALITY = 86
PATIENCE = 3_600_000  # ms for a whole film on a busy machine
FIT = """() => {
    const boxes = app.rootGraph.nodes.map(one => [...one.pos, ...one.size]);
    const left = Math.min(...boxes.map(one => one[0])), right = Math.max(...boxes.map(one => one[0] + one[2]));
    const top = Math.min(...boxes.map(one => one[1])) - 90, bottom = Math.max(...boxes.map(one => one[1] + one[3]));
    const scale = Math.min((innerWidth - 100) / (right - left), (innerHeight - 130) / (bottom - top));
    app.canvas.ds.scale = scale;
    app.canvas.ds.offset[0] = 78 / scale - left;
    app.canvas.ds.offset[1] = 112 / scale - top;
    app.canvas.setDirty(true, true);
}"""


def picture(browser: Any, address: str, new_nodes: bool) -> Image.Image:
    """text_to_video after a run, as a user sees it."""
    with editor.tab(browser, viewport=SIZE) as page:
        page.set_default_timeout(PATIENCE)
        for name, value in SETTINGS.items():
            editor.change_setting(page, address, name, value)
        editor.open_template(page, address, "text_to_video", new_nodes=new_nodes)
        page.evaluate(editor.LISTEN)
        editor.run(page)
        editor.finish(page)
        editor.play(page)
        page.evaluate("() => { const film = document.querySelector('video'); film.pause(); film.currentTime = 1; }")
        page.evaluate(FIT)
        page.mouse.move(SIZE["width"] / 2, SIZE["height"] - 4)
        page.wait_for_timeout(8000)  # messages of the editor go away
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(argv: Sequence[str] | None = None) -> None:
    """Both, or the named one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="studio, comfyui; both by default")
    names = parser.parse_args(argv).names or ["studio", "comfyui"]
    for name in names:
        with tempfile.TemporaryDirectory(prefix="screenshot_") as folder, editor.chromium() as browser:
            if name == "studio":
                server = editor.studio(Path(folder))
            elif name == "comfyui" and os.environ.get("COMFYUI_DIR"):
                python = os.environ.get("COMFYUI_PYTHON", sys.executable)
                server = editor.comfyui(Path(folder), Path(os.environ["COMFYUI_DIR"]), python)
            else:
                parser.error(f"{name!r} is neither studio nor comfyui, or $COMFYUI_DIR names no ComfyUI folder")
            with server as address:
                target = MEDIA / f"{name}.webp"
                picture(browser, address, new_nodes=name == "comfyui").save(target, quality=QUALITY, method=6)
                print(target)


if __name__ == "__main__":
    main()
