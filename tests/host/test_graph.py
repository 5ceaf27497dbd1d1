"""Every refusal names the node and says what to do; all problems come at once."""

import pytest

from moviegen_host.errors import HostError
from moviegen_host.graph import Link, check, nested
from moviegen_host.workflow import read_workflow


@pytest.fixture
def checked(registry):
    """Reads and checks a workflow."""
    return lambda workflow: check(read_workflow(workflow, registry), registry)


@pytest.fixture
def problems(checked):
    """The problems of a workflow that must be refused."""

    def find(workflow):
        with pytest.raises(HostError) as caught:
            checked(workflow)
        return caught.value.problems

    return find


def test_sound_graph_has_typed_values_links_and_defaults(checked, api):
    graph = checked(api(n1=("TestNumber", {"seed": "7"}), n2=("TestSave", {"value": ["1", 0]})))
    assert graph.outputs == ["2"]
    assert graph.nodes["1"].inputs == {"seed": 7, "scale": 1.0}
    assert graph.nodes["2"].inputs == {"value": Link("1", 0), "name": "value"}


def test_node_that_no_output_needs_is_left_out(checked, api):
    graph = checked(api(n1=("TestNumber", {}), n2=("TestFail", {}), n3=("TestSave", {"value": ["1", 0]})))
    assert set(graph.nodes) == {"1", "3"}


def test_nodes_stand_after_those_they_need(checked, api):
    graph = checked(
        api(
            n1=("TestSave", {"value": ["2", 0]}),
            n2=("TestAdd", {"a": ["3", 0], "b": ["4", 0]}),
            n3=("TestAdd", {"a": ["4", 0]}),
            n4=("TestNumber", {}),
        )
    )
    assert list(graph.nodes) == ["4", "3", "2", "1"]


def test_unknown_node_is_named_with_the_nearest_known(problems, api):
    [problem] = problems(api(n1=("TestAdds", {}), n2=("TestSave", {"value": ["1", 0]})))
    assert problem == (
        '"Adds" (node 1): the node type TestAdds is not installed here; use TestAdd if that is meant, '
        "or run this workflow in ComfyUI"
    )


def test_graph_without_output_node_is_refused(problems, api):
    assert problems(api(n1=("TestNumber", {}))) == [
        "nothing would be saved or shown; add an output node, such as Save Video"
    ]


@pytest.mark.parametrize(
    ("kind", "inputs", "message"),
    [
        ("TestSave", {}, "the input value is not connected; connect INT or STRING to it"),
        ("TestSave", {"value": ["9", 0]}, "comes from node 9, which is not in the file; connect it again"),
        ("TestSave", {"value": ["1", 3]}, 'wants output 3 of "Number" (node 1), which has 1; connect it again'),
        ("SaveImage", {"images": ["1", 0]}, 'takes IMAGE, but "Number" (node 1) gives INT; connect IMAGE'),
        ("SaveImage", {"images": 5}, "images is the value '5'; it needs a link that gives IMAGE"),
        ("TestSave", {"value": ["1", 0], "nam": "x"}, "there is no input nam; did you mean name?"),
    ],
)
def test_wrong_connection_is_refused(problems, api, kind, inputs, message):
    [problem] = problems(api(n1=("TestNumber", {}), n2=(kind, inputs)))
    assert problem.endswith(message)
    assert "(node 2)" in problem


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"seed": -1}, "seed is -1, below the least value 0; raise it"),
        ({"seed": 2**64}, "above the greatest value 18446744073709551615; lower it"),
        ({"seed": 10**400}, "above the greatest value 18446744073709551615; lower it"),
        ({"seed": -(10**400)}, "below the least value 0; raise it"),
        ({"scale": 10**400}, "it needs a number"),
        ({"seed": 1.5}, "seed is 1.5; it needs a whole number"),
        ({"seed": "many"}, "seed is 'many'; it needs a whole number"),
        ({"seed": True}, "seed is True; it needs a whole number"),
        ({"seed": None}, "seed is None; it needs a whole number"),
        ({"scale": float("nan")}, "scale is nan; it needs a finite number"),
        ({"scale": 11}, "scale is 11.0, above the greatest value 10.0; lower it"),
    ],
)
def test_value_out_of_range_is_refused(problems, api, inputs, message):
    [problem] = problems(api(n1=("TestNumber", inputs), n2=("TestSave", {"value": ["1", 0]})))
    assert problem.startswith('"Number" (node 1): ')
    assert problem.endswith(message)


def test_choice_that_does_not_exist_is_refused_with_the_choices(problems, api):
    [problem] = problems(api(n1=("TestText", {"style": "soft"}), n2=("TestSave", {"value": ["1", 0]})))
    assert problem == "\"Text\" (node 1): style is 'soft', which is none of the choices; choose from plain, loud"


def test_all_problems_come_at_once(problems, api):
    found = problems(
        api(
            n1=("TestNumber", {"seed": -1, "scale": 99}),
            n2=("Nowhere", {}),
            n3=("TestSave", {"value": ["1", 0]}),
            n4=("TestSave", {}),
        )
    )
    assert len(found) == 4


def test_circle_of_links_is_refused(problems, api):
    found = problems(
        api(n1=("TestAdd", {"a": ["2", 0]}), n2=("TestAdd", {"a": ["1", 0]}), n3=("TestSave", {"value": ["1", 0]}))
    )
    assert found == ['links run in a circle: "Add" (node 1) -> "Add" (node 2) -> "Add" (node 1); take one of them out']


def test_own_check_of_a_node_is_asked_and_replaces_the_range(problems, checked, api):
    [problem] = problems(api(n1=("TestPair", {"low": 9, "high": 3}), n2=("TestSave", {"value": ["1", 0]})))
    assert problem == '"Pair" (node 1): low 9 must be below high 3'
    # 9 is above the declared maximum of 5, which the node's own check takes over.
    checked(api(n1=("TestPair", {"low": 9, "high": 30}), n2=("TestSave", {"value": ["1", 0]})))


def test_own_check_of_a_node_that_fails_is_told(problems, api):
    [told] = problems(api(n1=("TestExit", {"code": 0}), n2=("TestSave", {"value": ["1", 0]})))
    assert told.endswith("its own check failed: ZeroDivisionError: integer division or modulo by zero")


def test_old_node_id_is_replaced_as_the_pack_says(checked, api):
    graph = checked(api(n1=("OldPlus", {"left": 4}), n2=("TestSave", {"value": ["1", 0]})))
    assert graph.nodes["1"].class_type == "TestAdd"
    assert graph.nodes["1"].inputs["a"] == 4


def test_missing_input_file_is_told(problems, api):
    [problem] = problems(api(n1=("LoadImage", {"image": "cat.png"}), n2=("SaveImage", {"images": ["1", 0]})))
    assert "there is no picture cat.png; put the file there or give its whole path" in problem


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"format": "webm"}, "a film as webm with auto needs ComfyUI; here choose the format mp4 or mkv"),
        ({"format": "mp4", "codec": "av1"}, "a film as mp4 with av1 needs ComfyUI; here choose the format mp4 or mkv"),
        (
            {
                "format.codec": "h264",
                "format.codec.encoding": "re-encode",
                "format.codec.encoding.color_space": "HDR PQ",
            },
            "a film in the colours HDR PQ needs ComfyUI; here choose the color_space auto or sRGB",
        ),
    ],
)
def test_film_that_cannot_be_written_here_is_refused_before_anything_runs(problems, api, tmp_path, inputs, message):
    (tmp_path / "in.mp4").touch()
    film = ("LoadVideo", {"file": str(tmp_path / "in.mp4")})
    [problem] = problems(api(n1=film, n2=("SaveVideo", {"video": ["1", 0], **inputs})))
    assert problem.startswith('"SaveVideo" (node 2): ')
    assert message in problem


def test_film_of_more_than_8_bits_is_refused_before_anything_runs(problems, api, tmp_path):
    (tmp_path / "in.png").touch()
    picture = ("LoadImage", {"image": str(tmp_path / "in.png")})
    film = ("CreateVideo", {"images": ["1", 0], "bit_depth": 10})
    [problem] = problems(api(n1=picture, n2=film, n3=("SaveVideo", {"video": ["2", 0]})))
    assert problem == '"CreateVideo" (node 2): a film of 10 bits a colour needs ComfyUI; here set bit_depth to 8'


def test_dotted_names_become_nested_values():
    assert nested({"format": "mp4", "format.crf": 20, "x": 1}) == {"format": {"format": "mp4", "crf": 20}, "x": 1}
    assert nested({"f": "a", "f.c": "h", "f.c.e": "z"}) == {"f": {"f": "a", "c": {"c": "h", "e": "z"}}}
    assert nested({}, ["items"]) == {"items": {}}
