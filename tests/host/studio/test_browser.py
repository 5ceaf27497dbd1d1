"""The studio in Chromium, as a user meets it: templates, a run, a refusal, help, languages, dropped films.

Run with `pytest -m browser`; needs playwright, the extra `studio` and a Chromium (Debian's package, or $CHROMIUM).
"""

import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.browser
PATIENCE = 240_000  # ms; a busy machine draws a frame a second
# What the editor itself says of its own start, whatever the server.
HARMLESS = re.compile(r"graph accessed before initialization|net::ERR_(INTERNET|NAME|CONNECTION)|comfy\.org|deprecated")
RENDERERS = {"classic": False, "nodes 2.0": True}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A running studio's address; the films and the music that templates name are in its input folder."""
    from moviegen_core.media.movie import write_movie
    from moviegen_core.media.sound import write_sound

    folder = tmp_path_factory.mktemp("studio")
    (folder / "input").mkdir()
    for name in ("film.mp4", "first.mp4", "second.mp4"):
        write_movie(torch.zeros(3, 8, 64, 64), folder / "input" / name, 16, torch.zeros(1, 24000))
    write_sound(torch.zeros(1, 4800), 48000, folder / "input/music.wav")
    command = [sys.executable, "-c", "import sys; from moviegen_core.cli import main; sys.exit(main())"]
    command += ["studio", "--no-open", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield re.search(r"http://\S+", process.stdout.readline())[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("there is no Chromium; install Debian's package chromium or name one in $CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, address):
    """An empty tab whose `complaints` are console errors, failed scripts and answers of 400 and above."""
    context = chromium.new_context(viewport={"width": 1500, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.complaints = []
    # The console's own lines about failed requests lack the address; `response` has it.
    tab.on("console", lambda line: line.type == "error" and "Failed to load" not in line.text and note(line.text))
    tab.on("pageerror", lambda error: note(str(error)))
    tab.on("response", lambda answer: answer.status >= 400 and note(f"{answer.status} {answer.url}"))

    def note(text):
        if not HARMLESS.search(text):
            tab.complaints.append(text)

    yield tab
    context.close()


def opened(page, address, template, *, new_nodes=False, locale="en"):
    """Opens a template in a page of the wanted renderer and language, and waits until its nodes are there."""
    for name, value in {"Comfy.VueNodes.Enabled": new_nodes, "Comfy.Locale": locale}.items():
        page.request.post(f"{address}api/settings/{name}", data=value, headers={"Content-Type": "application/json"})
    page.goto(f"{address}?template={template}&source=ComfyUI-MovieGen")
    page.wait_for_function(
        "name => window.app?.extensionManager?.workflow?.activeWorkflow?.filename === name"
        " && window.app.rootGraph?.nodes.length > 2",
        arg=template,
    )
    return page


def shorten(page):
    """A clip of a few frames in a few steps."""
    page.evaluate(
        """() => {
            const set = (type, values) => {
                const node = app.rootGraph.nodes.find(one => one.type === type);
                for (const [name, value] of Object.entries(values))
                    node.widgets.find(one => one.name === name).value = value;
            };
            set('MovieGenEmptyVideoLatent', {width: 64, height: 64, length: 32});
            set('MovieGenVideoSampler', {steps: 4, cfg: 1});
        }"""
    )


def run(page):
    """Presses Run."""
    page.get_by_role("button", name="Run", exact=True).first.click()


CHECK_GRAPH = """() => {
    const graph = app.rootGraph, problems = [];
    for (const node of graph.nodes) {
        if (node.has_errors || !LiteGraph.registered_node_types[node.type]) problems.push('node ' + node.type);
        for (const input of node.inputs ?? [])
            if (input.link != null && !graph.links.get(input.link)) problems.push('link into ' + node.type);
    }
    for (const link of graph.links.values()) {
        const from = graph.getNodeById(link.origin_id), to = graph.getNodeById(link.target_id);
        if (!from?.outputs[link.origin_slot] || !to?.inputs[link.target_slot]) problems.push('link ' + link.id);
    }
    return problems;
}"""


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_template_opens_without_missing_nodes_bad_links_or_console_errors(page, address, renderer):
    templates = page.request.get(f"{address}api/workflow_templates").json()["ComfyUI-MovieGen"]
    assert "text_to_video" in templates
    for template in templates:
        opened(page, address, template, new_nodes=RENDERERS[renderer])
        assert (template, page.evaluate(CHECK_GRAPH)) == (template, [])
        assert page.get_by_text("Missing Node").count() == 0
        assert (template, page.complaints) == (template, [])


def test_queued_film_shows_progress_and_preview_and_plays(page, address):
    opened(page, address, "text_to_video")
    shorten(page)
    page.evaluate(
        """() => {
            window.heard = {};
            for (const kind of ['progress_state', 'b_preview_with_metadata', 'executed', 'execution_success'])
                app.api.addEventListener(kind, () => { heard[kind] = (heard[kind] ?? 0) + 1; });
        }"""
    )
    run(page)
    page.wait_for_function("heard.execution_success")
    heard = page.evaluate("heard")
    assert heard["progress_state"] >= 4
    assert heard["b_preview_with_metadata"] >= 1
    film = page.locator("video").first
    film.wait_for(state="attached")
    page.evaluate(
        "() => { const film = document.querySelector('video'); film.muted = film.loop = true; return film.play(); }"
    )
    page.wait_for_function("document.querySelector('video').currentTime > 0.2")
    assert page.evaluate("document.querySelector('video').videoWidth") == 64
    assert page.complaints == []


def test_refused_graph_shows_its_message_on_the_right_node(page, address):
    opened(page, address, "text_to_video")
    wrong = page.evaluate(
        """() => {
            const node = app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler');
            node.disconnectInput(node.inputs.findIndex(one => one.name === 'model'));
            return String(node.id);
        }"""
    )
    run(page)
    page.wait_for_function("app.lastNodeErrors && Object.keys(app.lastNodeErrors).length")
    errors = page.evaluate("JSON.parse(JSON.stringify(app.lastNodeErrors))")
    assert list(errors) == [wrong]
    assert "model is not connected" in errors[wrong]["errors"][0]["message"]
    # The editor words this kind of refusal itself, and rings the node.
    page.get_by_text("missing a required input").first.wait_for()
    ringed = "() => app.rootGraph.nodes.filter(one => one.has_errors).map(one => String(one.id))"
    assert page.evaluate(ringed) == [wrong]


def test_help_of_a_node_is_our_page(page, address):
    opened(page, address, "text_to_video")
    page.evaluate("() => app.canvas.selectNode(app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler'))")
    page.get_by_test_id("info-button").first.click()
    page.get_by_text("with a strip of four frames as live preview").first.wait_for()


def test_language_of_the_nodes_follows_the_setting(page, address):
    opened(page, address, "text_to_video", locale="fr")
    wanted = page.request.get(f"{address}api/i18n").json()["fr"]["nodeDefs"]["MovieGenVideoSampler"]["display_name"]
    title = page.evaluate("() => app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler').title")
    assert title == wanted
    assert title != "Video Sampler (Movie Gen)"


def test_film_dropped_on_the_page_brings_its_graph_back(page, address):
    opened(page, address, "text_to_video")
    shorten(page)
    run(page)
    page.locator("video").first.wait_for(state="attached")
    source = page.evaluate("document.querySelector('video').currentSrc || document.querySelector('video').src")
    steps = page.evaluate(
        """async source => {
            const film = await (await fetch(source)).blob();
            app.rootGraph.clear();
            await app.handleFile(new File([film], 'film.mp4', {type: 'video/mp4'}));
            const node = app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler');
            return node?.widgets.find(one => one.name === 'steps').value;
        }""",
        source,
    )
    assert steps == 4
