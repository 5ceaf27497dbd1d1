"""The graph editor in Chromium, over the studio or a real ComfyUI: steps shared by tests, pictures and benchmarks."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACK = "ComfyUI-MovieGen"
SIZE = {"width": 1500, "height": 900}
PATIENCE = 240_000  # ms; a busy machine draws a frame a second
START = 600  # s for ComfyUI on a busy machine
STUDIO = "import sys; from moviegen_core.cli import main; sys.exit(main())"
PREVIEWS = {"Comfy.Execution.PreviewMethod": "auto"}
# What the editor itself says of its own start, whatever the server.
HARMLESS = re.compile(
    r"graph accessed before initialization|net::ERR_(INTERNET|NAME|CONNECTION)|comfy\.org|deprecated"
    r"|404 http://[\w.:]+/user\.css|huggingface\.co"  # ComfyUI's own first graph asks there for its models
)

LISTEN = """() => {
    window.heard = {};
    for (const kind of ['progress_state', 'progress_text', 'b_preview_with_metadata', 'executed', 'execution_success'])
        app.api.addEventListener(kind, event => {
            heard[kind] = (heard[kind] ?? 0) + 1;
            if (kind === 'progress_text') heard.text = event.detail.text;
            if (kind !== 'b_preview_with_metadata') return;
            heard.shown = Object.keys(app.nodePreviewImages).length;
            createImageBitmap(event.detail.blob).then(one => { heard.strip = [one.width, one.height]; });
        });
    for (const kind of ['execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, event => { heard.failure = event.detail.exception_message ?? kind; });
    // Which node has a film strip drawn in it, by whichever renderer.
    setInterval(() => {
        for (const node of app.rootGraph.nodes) {
            const inside = document.querySelectorAll(`[data-node-id="${node.id}"] img`);
            const drawn = LiteGraph.vueNodesMode ? [...inside] : node.imgs ?? [];
            if (drawn.some(one => one.naturalWidth >= 2 * one.naturalHeight)) heard.drawn = node.type;
        }
    }, 50);
}"""


def write_model_names(folder: Path) -> None:
    """Empty files under the names of other families' models that templates ask for, so that none counts as missing."""
    for template in (ROOT / "workflows").glob("*.json"):
        for node in json.loads(template.read_text(encoding="utf-8"))["nodes"]:
            for model in node["properties"].get("models", []):
                file = folder / model["directory"] / model["name"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """The address of a studio over `folder`, which ends with the block."""
    command = [sys.executable, "-c", STUDIO, "studio", "--no-open", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://\S+", said)
            if found is None:
                raise RuntimeError(f"the studio did not start: {said or 'see its message above'}")
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def comfyui(base: Path, program: Path, python: str) -> Iterator[str]:
    """The address of the ComfyUI in `program` over an empty `base` folder with this pack; it ends with the block."""
    from moviegen_host.studio.userdata import FIRST_SETTINGS, UserRoutes

    (base / "custom_nodes").mkdir(parents=True)
    (base / "custom_nodes" / PACK).symlink_to(ROOT)
    write_model_names(base / "models")
    # Else ComfyUI greets a new user with dialogs, and its page asks for files that are not there.
    settings = UserRoutes(base / "user" / "default").settings_file
    settings.write_text(json.dumps({**FIRST_SETTINGS, **PREVIEWS}), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}/", base / "log.txt"
    command = [python, "main.py", "--cpu", "--base-directory", str(base), "--port", str(port), "--disable-api-nodes"]
    with log.open("w") as stream, subprocess.Popen(command, cwd=program, stdout=stream, stderr=stream) as process:
        try:
            end = time.monotonic() + START
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"ComfyUI did not start: {log.read_text()[-2000:]}")
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}system_stats", timeout=10):
            return True
    except OSError:
        return False


def chromium_program() -> str | None:
    """$CHROMIUM, or the one on the path."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_program(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Any, **options: Any) -> Iterator[Any]:
    """An empty page whose `complaints` are console errors, failed scripts and answers of 400 and above."""
    context = browser.new_context(**{"viewport": SIZE, **options})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.complaints = []

    def note(text: str) -> None:
        if not HARMLESS.search(text):
            page.complaints.append(text)

    # The console's own lines about failed requests lack the address; `response` has it.
    page.on("console", lambda line: line.type == "error" and "Failed to load" not in line.text and note(line.text))
    page.on("pageerror", lambda error: note(str(error)))
    page.on("response", lambda answer: answer.status >= 400 and note(f"{answer.status} {answer.url}"))
    try:
        yield page
    finally:
        context.close()


def change_setting(page: Any, address: str, name: str, value: Any) -> None:
    """A setting of the editor, from the next page on."""
    answer = page.request.post(
        f"{address}api/settings/{name}", data=json.dumps(value), headers={"Content-Type": "application/json"}
    )
    assert answer.ok, f"{address} does not keep settings: {answer.status}"


def open_template(
    page: Any, address: str, template: str, *, new_nodes: bool = False, locale: str = "en", nodes: int = 3
) -> None:
    """Opens a template in the wanted renderer and language, and waits until `nodes` of its nodes are there."""
    for name, value in {"Comfy.VueNodes.Enabled": new_nodes, "Comfy.Locale": locale}.items():
        change_setting(page, address, name, value)
    page.goto(f"{address}?template={template}&source={PACK}")
    page.wait_for_function(
        "([name, nodes]) => window.app?.extensionManager?.workflow?.activeWorkflow?.filename === name"
        " && window.app.rootGraph?.nodes.length >= nodes",
        arg=[template, nodes],
    )


def run(page: Any) -> None:
    """Presses Run."""
    page.get_by_role("button", name="Run", exact=True).first.click()


def finish(page: Any) -> dict[str, Any]:
    """Waits for the end of a run that began after LISTEN -> what the page heard."""
    page.wait_for_function("heard.execution_success || heard.failure")
    heard = page.evaluate("heard")
    assert "failure" not in heard, heard["failure"]
    if "b_preview_with_metadata" in heard:
        page.wait_for_function("heard.strip")
        heard = page.evaluate("heard")
    return heard


def play(page: Any) -> None:
    """Plays the first film on the page, mute, and waits until its time advances."""
    page.locator("video").first.wait_for(state="attached")
    page.evaluate(
        "() => { const film = document.querySelector('video'); film.muted = film.loop = true; return film.play(); }"
    )
    page.wait_for_function("document.querySelector('video').currentTime > 0.2")
