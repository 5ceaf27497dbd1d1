"""The editor in Chromium, as a user meets it: templates, a run, a refusal, help, languages, dropped films.

`pytest -m 'browser and not comfy'` asks the studio, `pytest -m 'browser and comfy'` a real ComfyUI at $COMFYUI_DIR.
Needs playwright and a Chromium (Debian's package, or $CHROMIUM).
"""

import itertools
import re

import pytest

pytestmark = pytest.mark.browser
RENDERERS = pytest.mark.parametrize("new_nodes", [False, True], ids=["classic", "nodes 2.0"])
SETTLE = 700  # ms in which nodes grow to what they show
STEPS = 4
SEEDS = itertools.count(1)  # one a film, or the server would answer from its cache

SET_WIDGETS = """wanted => {
    for (const [type, values] of Object.entries(wanted)) {
        const node = app.rootGraph.nodes.find(one => one.type === type);
        for (const [name, value] of Object.entries(values))
            node.widgets.find(one => one.name === name).value = value;
    }
}"""

FAULTS = """() => {
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
    const boxes = graph.nodes.map(one => [one.pos[0], one.pos[1] - 30, one.size[0], one.size[1] + 30]);
    for (const [index, [x, y, width, height]] of boxes.entries())
        for (const [other, [x2, y2, width2, height2]] of boxes.entries())
            if (other > index && x + width > x2 && x2 + width2 > x && y + height > y2 && y2 + height2 > y)
                problems.push(graph.nodes[index].type + ' covers ' + graph.nodes[other].type);
    return problems;
}"""

DROP = """async source => {
    const film = await (await fetch(source)).blob();
    app.rootGraph.clear();
    const carried = new DataTransfer();
    carried.items.add(new File([film], 'film.mp4', {type: 'video/mp4'}));
    const place = {dataTransfer: carried, bubbles: true, cancelable: true, clientX: 700, clientY: 600};
    app.canvas.canvas.dispatchEvent(new DragEvent('drop', place));
}"""


@pytest.fixture
def short_film(page, address, editor):
    """Opens text_to_video for a clip of a few frames in a few steps, and listens."""

    def prepare(**options):
        editor.open_template(page, address, "text_to_video", **options)
        sampler = {"steps": STEPS, "cfg": 1, "seed": next(SEEDS)}
        clip = {"width": 64, "height": 64, "length": 32}
        page.evaluate(SET_WIDGETS, {"MovieGenEmptyVideoLatent": clip, "MovieGenVideoSampler": sampler})
        page.evaluate(editor.LISTEN)

    return prepare


@RENDERERS
def test_every_template_opens_without_missing_nodes_bad_links_or_console_errors(page, address, editor, new_nodes):
    templates = page.request.get(f"{address}api/workflow_templates").json()[editor.PACK]
    assert "text_to_video" in templates
    for template in templates:
        editor.open_template(page, address, template, new_nodes=new_nodes)
        page.wait_for_timeout(SETTLE)
        assert (template, page.evaluate(FAULTS)) == (template, [])
        assert page.get_by_text("Missing Node").count() == 0
        assert (template, page.complaints) == (template, [])


@RENDERERS
def test_queued_film_shows_progress_and_a_film_strip_and_plays(page, short_film, editor, new_nodes):
    short_film(new_nodes=new_nodes)
    editor.run(page)
    heard = editor.finish(page)
    assert heard["progress_state"] >= STEPS
    assert heard["b_preview_with_metadata"] >= 1
    assert heard["shown"] == 1
    assert re.fullmatch(r"\d+ of \d+(, \d+ s left| in \d+ s)", heard["text"])
    # Frames of the clip side by side, not its first one alone.
    width, height = heard["strip"]
    assert max(width, height) >= 2 * min(width, height)
    assert heard["drawn"] == "MovieGenVideoSampler"
    editor.play(page)
    assert page.evaluate("document.querySelector('video').videoWidth") == 64
    # The preview and the player found room: no node covers another.
    page.wait_for_timeout(SETTLE)
    assert page.evaluate(FAULTS) == []
    assert page.complaints == []


@RENDERERS
def test_decoded_sound_plays_in_its_node(page, address, editor, new_nodes):
    editor.open_template(page, address, "text_to_sound", new_nodes=new_nodes)
    sampler = {"steps": 2, "cfg": 1, "seed": next(SEEDS)}
    page.evaluate(SET_WIDGETS, {"MovieGenSoundSampler": sampler})
    page.evaluate(editor.LISTEN)
    editor.run(page)
    editor.finish(page)
    # One player in Sound Decode, one in Save Audio.
    page.wait_for_function("[...document.querySelectorAll('audio')].filter(one => one.duration === 8).length === 2")
    page.evaluate(
        "() => { const sound = document.querySelector('audio'); sound.muted = sound.loop = true; return sound.play(); }"
    )
    page.wait_for_function("document.querySelector('audio').currentTime > 0.1")
    page.wait_for_timeout(SETTLE)
    assert page.evaluate(FAULTS) == []
    assert page.complaints == []


def test_refused_graph_shows_its_message_on_the_right_node(page, address, editor):
    editor.open_template(page, address, "text_to_video")
    wrong = page.evaluate(
        """() => {
            const node = app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler');
            node.disconnectInput(node.inputs.findIndex(one => one.name === 'model'));
            return String(node.id);
        }"""
    )
    editor.run(page)
    page.wait_for_function("app.lastNodeErrors && Object.keys(app.lastNodeErrors).length")
    errors = page.evaluate("JSON.parse(JSON.stringify(app.lastNodeErrors))")
    assert list(errors) == [wrong]
    [error] = errors[wrong]["errors"]
    assert (error["type"], error["extra_info"]["input_name"]) == ("required_input_missing", "model")
    # The editor words this kind of refusal itself, and rings the node.
    page.get_by_text("missing a required input").first.wait_for()
    ringed = "() => app.rootGraph.nodes.filter(one => one.has_errors).map(one => String(one.id))"
    assert page.evaluate(ringed) == [wrong]


def test_failure_of_a_node_is_told_in_our_sentence(page, short_film, editor):
    short_film()
    # A loader's file may vanish, and sizes may not fit, only after the graph was accepted.
    page.evaluate(SET_WIDGETS, {"MovieGenEmptyVideoLatent": {"width": 4096, "height": 4096}})
    editor.run(page)
    page.wait_for_function("heard.failure")
    assert "lower its resolution" in page.evaluate("heard.failure")
    failed = page.evaluate("app.lastExecutionError?.node_id")
    assert page.evaluate("id => app.rootGraph.getNodeById(id).type", failed) == "MovieGenVideoSampler"


def test_first_visit_of_the_studio_finds_text_to_video_open(page, address, request):
    if "comfyui" in request.node.name:
        pytest.skip("ComfyUI opens its own first graph")
    page.goto(address)
    page.wait_for_function("window.app?.extensionManager?.workflow?.activeWorkflow?.filename === 'text_to_video'")
    page.wait_for_function("app.rootGraph.nodes.some(one => one.type === 'MovieGenVideoSampler')")


def test_help_of_a_node_is_our_page(page, address, editor):
    editor.open_template(page, address, "text_to_video")
    page.evaluate("() => app.canvas.selectNode(app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler'))")
    page.get_by_test_id("info-button").first.click()
    page.get_by_text("with a strip of four frames as a live preview").first.wait_for()
    page.wait_for_function("document.querySelector('img[src*=\"video_sampler.jpg\"]')?.naturalWidth > 400")


@pytest.mark.parametrize("locale", ["fr", "ja"])
def test_language_of_the_nodes_follows_the_setting(page, address, editor, locale):
    editor.open_template(page, address, "text_to_video", locale=locale)
    texts = page.request.get(f"{address}api/i18n").json()[locale]["nodeDefs"]["MovieGenVideoSampler"]
    node = page.evaluate(
        """() => {
            const node = app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler');
            const model = node.inputs.find(one => one.name === 'model');
            const seed = node.widgets.find(one => one.name === 'seed');
            return [node.title, model.label ?? model.localized_name, seed.label];
        }"""
    )
    assert node == [texts["display_name"], texts["inputs"]["model"]["name"], texts["inputs"]["seed"]["name"]]
    assert node[0] != "Video Sampler (Movie Gen)"


def test_film_dropped_on_the_page_brings_its_graph_back(page, short_film, editor):
    short_film()
    editor.run(page)
    editor.finish(page)
    page.locator("video").first.wait_for(state="attached")
    source = page.evaluate("document.querySelector('video').currentSrc || document.querySelector('video').src")
    page.evaluate(DROP, source)
    page.wait_for_function("app.rootGraph.nodes.some(one => one.type === 'MovieGenVideoSampler')")
    steps = page.evaluate(
        "app.rootGraph.nodes.find(one => one.type === 'MovieGenVideoSampler').widgets"
        ".find(one => one.name === 'steps').value"
    )
    assert steps == STEPS
    assert page.evaluate(FAULTS) == []


def test_stop_ends_a_run_within_a_step(page, short_film, editor):
    short_film()
    page.evaluate(SET_WIDGETS, {"MovieGenVideoSampler": {"steps": 1000}})
    editor.run(page)
    page.wait_for_function("heard.b_preview_with_metadata")
    page.evaluate("app.api.interrupt(null)")
    page.wait_for_function("heard.failure")
    assert page.evaluate("heard.failure") == "execution_interrupted"
    assert "execution_success" not in page.evaluate("heard")


def add_by_search(page, name):
    """Opens the search for nodes, types a node's name and takes what is found first."""
    page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.locator("input:focus").fill(name[:32])  # fuzzy search finds nothing for more characters
    page.get_by_text(name).or_(page.get_by_text("Blueprint")).first.wait_for()
    page.wait_for_timeout(2500)  # the list follows the typing
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    # A new node may follow the mouse until it is put down.
    page.mouse.click(page.viewport_size["width"] / 2, page.viewport_size["height"] / 2)


def test_blueprints_are_found_by_search_and_one_of_them_makes_a_film(page, address, editor):
    names = sorted(path.stem for path in (editor.ROOT / "subgraphs").glob("*.json"))
    editor.open_template(page, address, "text_to_video")
    unknown = """() => app.rootGraph.nodes[0].subgraph.nodes
        .filter(one => !LiteGraph.registered_node_types[one.type]).map(one => one.type)"""
    for name in names:
        page.evaluate("app.rootGraph.clear()")
        add_by_search(page, name)
        page.wait_for_function("name => app.rootGraph.nodes.some(one => one.title === name && one.subgraph)", arg=name)
        assert page.evaluate(unknown) == []
    assert name == "Text to Video (Movie Gen)"
    page.evaluate(
        """values => {
            const graph = app.rootGraph, maker = graph.nodes[0];
            for (const [widget, value] of Object.entries(values))
                maker.widgets.find(one => one.name === widget).value = value;
            const save = LiteGraph.createNode('SaveVideo');
            graph.add(save);
            save.pos = [maker.pos[0] + 500, maker.pos[1]];
            maker.connect(0, save, 0);
            // A player outside the view is not loaded.
            app.canvas.ds.offset = [300 - maker.pos[0], 200 - maker.pos[1]];
        }""",
        {"width": 64, "height": 48, "length": 16, "steps": 3, "cfg": 1},
    )
    page.evaluate(editor.LISTEN)
    editor.run(page)
    assert editor.finish(page)["progress_state"] >= 3
    page.wait_for_function("document.querySelector('video')?.videoHeight === 48")
    assert page.complaints == []
