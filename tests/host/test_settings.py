"""--set finds the input that is meant, or says which there are."""

import pytest

from moviegen_host.errors import HostError
from moviegen_host.settings import apply_settings, list_settings
from moviegen_host.workflow import read_workflow


@pytest.fixture
def workflow(registry, node, ui):
    """Two texts, a number and a save node, with `prompt` in the workflow's own list."""
    nodes = [
        node(1, "TestText", outputs=["STRING"], values=["a cat", "plain"], title="Positive"),
        node(2, "TestText", outputs=["STRING"], values=["", "plain"], title="Negative"),
        node(3, "TestNumber", outputs=["INT"], values=[7, "fixed", 1.0]),
        node(4, "TestSave", [("value", "INT", 9)], values=["file"]),
        node(5, "TestSteps", values=[4], title="How long"),
    ]
    document = ui(nodes, [(9, 3, 0, 4, 0, "INT")], extra={"moviegen": {"settings": {"prompt": [1, "text"]}}})
    return read_workflow(document, registry)


@pytest.mark.parametrize(
    ("name", "node_id", "field"),
    [
        ("prompt", "1", "text"),
        ("Negative.text", "2", "text"),
        ("2.text", "2", "text"),
        ("TestNumber.seed", "3", "seed"),
        ("seed", "3", "seed"),
        ("How long", "5", "steps"),
    ],
)
def test_name_is_found(workflow, registry, name, node_id, field):
    apply_settings(workflow, {name: "12"}, registry)
    value = workflow.prompt[node_id]["inputs"][field]
    assert value == (12 if field in ("seed", "steps") else "12")
    assert type(value) is (int if field in ("seed", "steps") else str)


def test_equal_signs_quotes_and_lines_in_a_text_are_kept(workflow, registry):
    text = 'a sign that says "2 = 1 + 1"\n🎈 שלום'
    apply_settings(workflow, {"prompt": text}, registry)
    assert workflow.document["nodes"][0]["widgets_values"][0] == text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text", "x", r"several inputs fit; choose from Positive\.text, Negative\.text"),
        ("TestText.text", "x", r"choose from Positive\.text, Negative\.text"),
        ("sed", "x", "no input has this name; did you mean seed"),
        ("zzz", "x", "there are prompt"),
        ("seed", "many", r"Number\.seed is 'many'; it needs a whole number"),
        ("value", "3", r'this input of "Save" \(node 4\) comes from "Number" \(node 3\); set it there'),
    ],
)
def test_name_or_value_that_does_not_fit_is_refused(workflow, registry, name, value, message):
    with pytest.raises(HostError, match=message):
        apply_settings(workflow, {name: value}, registry)


def test_all_wrong_settings_come_at_once(workflow, registry):
    with pytest.raises(HostError) as caught:
        apply_settings(workflow, {"text": "x", "seed": "y"}, registry)
    assert len(caught.value.problems) == 2


def test_list_begins_with_the_workflows_own_names(workflow, registry):
    names = [one.alias or one.full_name for one in list_settings(workflow, registry)]
    assert names[0] == "prompt"
    assert "Number.seed" in names
    assert not any("value" in name for name in names)


@pytest.mark.parametrize("titles", [{}, {"_meta": None}])
def test_file_of_the_api_format_needs_no_titles(registry, api, titles):
    nodes = api(n1=("TestNumber", {"seed": 3}), n2=("TestSave", {"value": ["1", 0]}))
    for node in nodes.values():
        del node["_meta"]
        node.update(titles)
    workflow = read_workflow(nodes, registry)
    assert [one.full_name for one in list_settings(workflow, registry)] == ["Number.seed", "Number.scale", "Save.name"]
    with pytest.raises(HostError, match=r'comes from "TestNumber" \(node 1\); set it there'):
        apply_settings(workflow, {"TestSave.value": 1, "2.value": 1}, registry)
    with pytest.raises(HostError, match="no input has this name"):
        apply_settings(workflow, {"Other.value": 1}, registry)
