"""The UI format becomes the prompt that ComfyUI's frontend would send."""

import copy
import json
import random
from contextlib import suppress

import pytest
from PIL import Image

from moviegen_host.errors import HostError
from moviegen_host.graph import check
from moviegen_host.workflow import read_workflow


@pytest.fixture
def inputs(registry):
    """Inputs of every node of a UI workflow, by id."""

    def read(workflow):
        prompt = read_workflow(workflow, registry).prompt
        return {node_id: node["inputs"] for node_id, node in prompt.items()}

    return read


@pytest.fixture
def problems(registry):
    """The problems of a UI workflow that must be refused."""

    def find(workflow):
        with pytest.raises(HostError) as caught:
            check(read_workflow(workflow, registry), registry)
        return caught.value.problems

    return find


def number(node, id, seed, links=(), **more):
    """A Number node."""
    return node(id, "TestNumber", outputs=["INT"], values=[seed, "randomize", 2.0], **more)


def save(node, id, link, **more):
    """A Save node."""
    return node(id, "TestSave", [("value", "INT", link)], values=["result"], **more)


def test_control_after_generate_takes_a_slot_of_its_own(inputs, node, ui):
    workflow = ui([number(node, 1, 7), save(node, 2, 5)], [(5, 1, 0, 2, 0, "INT")])
    assert inputs(workflow) == {"1": {"seed": 7, "scale": 2.0}, "2": {"value": ["1", 0], "name": "result"}}


def test_values_without_the_control_slot_are_read_too(inputs, node, ui):
    assert inputs(ui([node(1, "TestNumber", values=[7, 3.0])])) == {"1": {"seed": 7, "scale": 3.0}}


def test_linked_widget_keeps_its_slot(inputs, node, ui):
    target = node(2, "TestNumber", [("seed", "INT", 5, "widget")], values=[1, "fixed", 4.0])
    workflow = ui([number(node, 1, 7), target], [(5, 1, 0, 2, 0, "INT")])
    assert inputs(workflow)["2"] == {"seed": ["1", 0], "scale": 4.0}


def test_extra_and_missing_widget_values_are_borne(inputs, node, ui):
    workflow = ui([node(1, "LoadImage", values=["cat.png", "image"]), node(2, "TestText", values=["hello"])])
    assert inputs(workflow) == {"1": {"image": "cat.png"}, "2": {"text": "hello"}}


def test_values_by_name_are_read(inputs, node, ui):
    workflow = ui([node(1, "TestText")])
    workflow["nodes"][0]["widgets_values"] = {"style": "loud", "text": "hi"}
    assert inputs(workflow) == {"1": {"text": "hi", "style": "loud"}}


def test_dynamic_combo_brings_its_widgets_after_itself(inputs, node, ui):
    workflow = ui([node(1, "TestFormat", values=["mp4", 30, 9]), node(2, "TestFormat", values=["gif", 9])])
    assert inputs(workflow) == {"1": {"format": "mp4", "format.crf": 30, "last": 9}, "2": {"format": "gif", "last": 9}}


def test_notes_reroutes_and_primitives_dissolve(inputs, node, ui):
    linked = [("seed", "INT", 2, "widget"), ("scale", "FLOAT", 3, "widget")]
    nodes = [
        node(1, "Note", values=["read me"]),
        node(2, "MarkdownNote", values=["# read me"]),
        number(node, 3, 7),
        node(4, "Reroute", [("", "*", 1)], ["*"]),
        node(5, "PrimitiveNode", outputs=["FLOAT"], values=[0.5, "fixed"]),
        node(6, "TestNumber", linked, values=[1, "fixed", 1.0]),
    ]
    links = [(1, 3, 0, 4, 0, "*"), (2, 4, 0, 6, 0, "INT"), (3, 5, 0, 6, 1, "FLOAT")]
    assert inputs(ui(nodes, links)) == {"3": {"seed": 7, "scale": 2.0}, "6": {"seed": ["3", 0], "scale": 0.5}}


def test_bypassed_node_passes_its_input_of_the_same_type_on(inputs, node, ui):
    middle = node(2, "TestAdd", [("a", "STRING", None), ("b", "INT", 1)], ["INT"], mode=4)
    workflow = ui([number(node, 1, 7), middle, save(node, 3, 2)], [(1, 1, 0, 2, 1, "INT"), (2, 2, 0, 3, 0, "INT")])
    assert inputs(workflow)["3"]["value"] == ["1", 0]
    assert "2" not in inputs(workflow)


def test_bypassed_node_with_nothing_to_pass_on_is_told(problems, node, ui):
    middle = node(2, "TestText", [("a", "STRING", None)], ["INT"], mode=4, title="Middle")
    found = problems(ui([middle, save(node, 3, 2)], [(2, 2, 0, 3, 0, "INT")]))
    assert found == [
        '"TestSave" (node 3): the input value comes from "Middle" (node 2), which is bypassed and has no INT input to '
        "pass on; switch it on or connect another node"
    ]


def test_muted_node_is_told_where_its_result_is_required(problems, node, ui):
    found = problems(ui([number(node, 1, 7, mode=2), save(node, 3, 2)], [(2, 1, 0, 3, 0, "INT")]))
    assert found == [
        '"TestSave" (node 3): the input value comes from "TestNumber" (node 1), which is muted; '
        "unmute it or connect another node"
    ]


def test_muted_node_is_borne_where_its_result_is_optional(inputs, node, ui):
    target = node(3, "TestAdd", [("a", "INT", None), ("b", "INT", 2)], ["INT"], values=[4])
    assert inputs(ui([number(node, 1, 7, mode=2), target], [(2, 1, 0, 3, 1, "INT")])) == {"3": {"a": 4}}


def test_muted_output_node_does_not_run(inputs, node, ui):
    nodes = [number(node, 1, 7), save(node, 2, 5), save(node, 3, 6, mode=2)]
    assert set(inputs(ui(nodes, [(5, 1, 0, 2, 0, "INT"), (6, 1, 0, 3, 0, "INT")]))) == {"1", "2"}


def test_reroutes_in_a_circle_are_told(problems, node, ui):
    nodes = [node(1, "Reroute", [("", "*", 2)], ["*"]), node(2, "Reroute", [("", "*", 1)], ["*"]), save(node, 3, 3)]
    links = [(1, 1, 0, 2, 0, "*"), (2, 2, 0, 1, 0, "*"), (3, 2, 0, 3, 0, "INT")]
    [problem] = problems(ui(nodes, links))
    assert "links that run in a circle" in problem


def test_reroutes_in_a_chain_of_any_length_dissolve(inputs, node, ui):
    count = 5000
    chain = [node(one + 2, "Reroute", [("", "*", one)], ["*"]) for one in range(count)]
    links = [(one, one + 1, 0, one + 2, 0, "*") for one in range(count + 1)]
    workflow = ui([number(node, 1, 7), *chain, save(node, count + 2, count)], links)
    assert inputs(workflow)[str(count + 2)]["value"] == ["1", 0]


def test_link_that_is_not_in_the_file_is_told(problems, node, ui):
    [problem] = problems(ui([save(node, 3, 77)]))
    assert "the input value has a link that does not exist in the file; connect it again" in problem


@pytest.fixture
def subgraph(node):
    """A subgraph that adds its input to a number of its own: inputs left, seed; output sum."""
    inner = [
        node(1, "TestNumber", [("seed", "INT", 12, "widget")], ["INT"], [3, "fixed", 1.0]),
        node(2, "TestAdd", [("a", "INT", 10), ("b", "INT", 11)], ["INT"]),
    ]
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [
        (10, -10, 0, 2, 0, "INT"),
        (11, 1, 0, 2, 1, "INT"),
        (12, -10, 1, 1, 0, "INT"),
        (13, 2, 0, -20, 0, "INT"),
    ]
    return {
        "id": "adder",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [{"name": "left", "type": "INT"}, {"name": "seed", "type": "INT"}],
        "outputs": [{"name": "sum", "type": "INT"}],
        "nodes": inner,
        "links": [dict(zip(keys, link, strict=True)) for link in links],
    }


def test_subgraph_is_unfolded_with_dotted_ids(inputs, node, ui, subgraph):
    use = node(57, "adder", [("left", "INT", 1), ("seed", "INT", None, "widget")], ["INT"], [9])
    workflow = ui(
        [number(node, 1, 7), use, save(node, 3, 2)],
        [(1, 1, 0, 57, 0, "INT"), (2, 57, 0, 3, 0, "INT")],
        definitions={"subgraphs": [subgraph]},
    )
    assert inputs(workflow) == {
        "1": {"seed": 7, "scale": 2.0},
        "57:1": {"seed": 9, "scale": 1.0},
        "57:2": {"a": ["1", 0], "b": ["57:1", 0]},
        "3": {"value": ["57:2", 0], "name": "result"},
    }


def test_subgraph_inside_a_subgraph_is_unfolded(inputs, node, ui, subgraph):
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    outer = {
        **subgraph,
        "id": "outer",
        "inputs": [{"name": "left", "type": "INT"}],
        "nodes": [node(4, "adder", [("left", "INT", 20), ("seed", "INT", None)], ["INT"])],
        "links": [
            dict(zip(keys, link, strict=True)) for link in [(20, -10, 0, 4, 0, "INT"), (21, 4, 0, -20, 0, "INT")]
        ],
    }
    nodes = [number(node, 1, 7), node(5, "outer", [("left", "INT", 1)], ["INT"]), save(node, 3, 2)]
    links = [(1, 1, 0, 5, 0, "INT"), (2, 5, 0, 3, 0, "INT")]
    found = inputs(ui(nodes, links, definitions={"subgraphs": [subgraph, outer]}))
    assert found["3"]["value"] == ["5:4:2", 0]
    assert found["5:4:2"] == {"a": ["1", 0], "b": ["5:4:1", 0]}
    # Nothing is typed at the use, so the value inside the subgraph counts.
    assert found["5:4:1"] == {"seed": 3, "scale": 1.0}


def test_subgraph_that_feeds_itself_is_told(problems, node, ui, subgraph):
    subgraph["links"] = [dict(zip(subgraph["links"][0], (20, -10, 0, -20, 0, "INT"), strict=True))]
    use = node(1, "adder", [("left", "INT", 1)], ["INT"])
    nodes, links = [use, save(node, 2, 2)], [(1, 1, 0, 1, 0, "INT"), (2, 1, 0, 2, 0, "INT")]
    found = problems(ui(nodes, links, definitions={"subgraphs": [subgraph]}))
    assert any("links that run in a circle" in problem for problem in found)


def test_subgraph_that_holds_itself_is_refused(registry, node, ui, subgraph):
    subgraph["nodes"].append(node(9, "adder"))
    with pytest.raises(HostError, match="contains itself"):
        read_workflow(ui([node(1, "adder")], definitions={"subgraphs": [subgraph]}), registry)


def test_value_that_is_set_is_found_in_the_document_too(registry, node, ui):
    workflow = read_workflow(ui([number(node, 1, 7)]), registry)
    workflow.set_value("1", "scale", 5.0)
    assert workflow.prompt["1"]["inputs"]["scale"] == 5.0
    assert workflow.document["nodes"][0]["widgets_values"] == [7, "randomize", 5.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "not an object"),
        ('{"a": 1}', "is no workflow"),
        ("{}", "is no workflow"),
        ("\udcff", "it is no text; give a .json"),
        ("[" * 100_000, "no workflow that can be read"),
        ("9" * 5000, "no workflow that can be read"),
    ],
)
def test_file_that_is_no_workflow_is_refused(registry, tmp_path, content, message):
    (tmp_path / "flow.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(HostError, match=message):
        read_workflow(tmp_path / "flow.json", registry)


def test_file_with_the_mark_of_windows_editors_is_read(registry, tmp_path, node, ui):
    (tmp_path / "flow.json").write_text(json.dumps(ui([number(node, 1, 7)])), encoding="utf-8-sig")
    assert read_workflow(tmp_path / "flow.json", registry).prompt["1"]["inputs"]["seed"] == 7


def test_picture_that_is_too_large_to_open_is_refused(registry, tmp_path, monkeypatch):
    Image.new("L", (64, 64)).save(tmp_path / "flow.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(HostError, match="cannot be read as a workflow"):
        read_workflow(tmp_path / "flow.png", registry)


def test_folder_in_place_of_a_file_is_told(registry, tmp_path):
    with pytest.raises(HostError, match="is a folder; give the workflow file"):
        read_workflow(tmp_path, registry)


def test_missing_file_is_told(registry, tmp_path):
    with pytest.raises(HostError, match="does not exist; check the name"):
        read_workflow(tmp_path / "flow.json", registry)


def test_api_format_inside_a_queue_request_is_read(registry, tmp_path, api):
    (tmp_path / "flow.json").write_text(json.dumps({"prompt": api(n1=("TestNumber", {"seed": 1}))}))
    assert read_workflow(tmp_path / "flow.json", registry).prompt["1"]["inputs"] == {"seed": 1}


def test_old_node_of_a_ui_file_keeps_its_values_and_links(registry, node, ui):
    old = node(2, "OldPlus", [("left", "INT", 1), ("right", "INT", None, "widget")], ["INT"], [0, 5])
    workflow = ui([number(node, 1, 7), old, save(node, 3, 2)], [(1, 1, 0, 2, 0, "INT"), (2, 2, 0, 3, 0, "INT")])
    graph = check(read_workflow(workflow, registry), registry)
    assert graph.nodes["2"].class_type == "TestAdd"
    assert graph.prompt["2"]["inputs"] == {"a": ["1", 0], "b": 5}
    assert graph.prompt["3"]["inputs"]["value"] == ["2", 0]


def test_holes_among_the_links_of_old_editors_are_borne(inputs, node, ui):
    workflow = ui([number(node, 1, 7), save(node, 2, 5)], [(5, 1, 0, 2, 0, "INT")])
    workflow["links"].insert(0, None)
    assert inputs(workflow)["2"]["value"] == ["1", 0]


DAMAGES = {
    "the id of node 1 of the workflow": lambda flow: flow["nodes"][0].pop("id"),
    "the type of node 2 of the workflow": lambda flow: flow["nodes"][1].update(type=["TestSave"]),
    "node 1 of the workflow": lambda flow: flow["nodes"].__setitem__(0, "TestNumber"),
    "inputs of node 2 of the workflow": lambda flow: flow["nodes"][1].update(inputs={"value": 5}),
    "widgets_values of node 1 of the workflow": lambda flow: flow["nodes"][0].update(widgets_values=7),
    "link 1 of the workflow": lambda flow: flow["links"][0].pop(),
    "links of the workflow": lambda flow: flow.update(links=5),
    "subgraph 1": lambda flow: flow.update(definitions={"subgraphs": [3]}),
    "the nodes of subgraph 1": lambda flow: flow.update(definitions={"subgraphs": [{"id": "x"}]}),
    "the setting seed": lambda flow: flow.update(extra={"moviegen": {"settings": {"seed": [1]}}}),
}


@pytest.mark.parametrize("place", DAMAGES)
def test_damaged_file_is_refused_with_the_place(registry, node, ui, place):
    workflow = ui([number(node, 1, 7), save(node, 2, 5)], [(5, 1, 0, 2, 0, "INT")])
    DAMAGES[place](workflow)
    with pytest.raises(HostError, match=f"damaged: .*{place} is missing or of a wrong kind; save it again"):
        read_workflow(workflow, registry)


@pytest.mark.parametrize("seed", range(20))
def test_file_with_random_damage_is_read_or_refused_with_a_sentence(registry, node, ui, subgraph, seed):
    """Nothing but HostError leaves the host, whatever stands at a place of a file."""
    use = node(57, "adder", [("left", "INT", 1), ("seed", "INT", None, "widget")], ["INT"], [9])
    nodes = [number(node, 1, 7), use, save(node, 3, 2), node(4, "LoadVideo", outputs=["VIDEO"], values=["a.mp4"])]
    links = [(1, 1, 0, 57, 0, "INT"), (2, 57, 0, 3, 0, "INT")]
    settings = {"moviegen": {"settings": {"seed": [1, "seed"]}}}
    workflow = ui(nodes, links, definitions={"subgraphs": [copy.deepcopy(subgraph)]}, extra=settings)
    chance = random.Random(seed)
    for _ in range(30):
        damaged = copy.deepcopy(workflow)
        for _ in range(chance.choice((1, 1, 3))):
            *path, last = chance.choice(list(places(damaged)))
            holder = damaged
            for key in path:
                holder = holder[key]
            if chance.random() < 0.4:
                del holder[last]
            else:
                holder[last] = copy.deepcopy(chance.choice(JUNK))
        with suppress(HostError):
            check(read_workflow(damaged, registry), registry)


JUNK = (None, True, -1, 0, 10**30, float("nan"), "", "x", "../../etc/passwd", [], {}, [[]], {"a": 1}, ["1", 0], [None])


def places(value, path=()):
    """Every place inside of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))
