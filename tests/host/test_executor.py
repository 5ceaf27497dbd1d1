"""What runs, how often, and in which shape values arrive."""

import logging
import weakref

import pytest

from moviegen_host.errors import Cancelled, HostError
from moviegen_host.run import Host


@pytest.fixture
def value(host):
    """Runs a workflow with one Save node and gives the saved texts."""

    def run(workflow):
        return [path.read_text() for path in host.run(workflow).written]

    return run


def test_shared_node_runs_once_and_unneeded_node_not_at_all(host, calls, api):
    host.run(
        api(
            n1=("TestNumber", {"seed": 3}),
            n2=("TestAdd", {"a": ["1", 0], "b": ["1", 0]}),
            n3=("TestSave", {"value": ["2", 0]}),
            n4=("TestSave", {"value": ["1", 0], "name": "other"}),
            n5=("TestStamp", {}),
        )
    )
    assert calls == [("Number", 3), ("Add", 3, 3), ("Save", 6), ("Save", 3)]


def test_chain_of_thousands_of_nodes_runs(host, api):
    length = 5000
    same = {f"n{index}": ("TestSame", {"it": [str(index - 1), 0]}) for index in range(2, length)}
    save = {f"n{length}": ("TestSave", {"value": [str(length - 1), 0]})}
    [path] = host.run(api(n1=("TestNumber", {"seed": 7}), **same, **save)).written
    assert path.read_text() == "7"


def test_chain_of_thousands_of_lazy_inputs_runs(pack, tmp_path, api):
    length = 1500
    switches = {f"n{index}": ("TestSwitch", {"yes": [str(index - 1), 0], "no": ["1", 0]}) for index in range(2, length)}
    save = {f"n{length}": ("TestSave", {"value": [str(length - 1), 0]})}
    workflow = api(n1=("TestNumber", {"seed": 7}), **switches, **save)
    [path] = Host([pack], output=tmp_path, keep=False).run(workflow).written
    assert path.read_text() == "7"


def test_second_run_repeats_only_what_changed(host, calls, api):
    workflow = api(
        n1=("TestNumber", {"seed": 3}),
        n2=("TestNumber", {"seed": 4}),
        n3=("TestAdd", {"a": ["1", 0], "b": ["2", 0]}),
        n4=("TestSave", {"value": ["3", 0]}),
    )
    host.run(workflow)
    calls.clear()
    report = host.run(workflow).report
    assert calls == []
    assert report.executed == []
    host.run(workflow, {"2.seed": 5})
    assert calls == [("Number", 5), ("Add", 3, 5), ("Save", 8)]


def test_same_node_under_another_id_is_not_run_again(host, calls, api):
    host.run(
        api(
            n1=("TestNumber", {"seed": 3}),
            n2=("TestNumber", {"seed": 3}),
            n3=("TestAdd", {"a": ["1", 0], "b": ["2", 0]}),
            n4=("TestSave", {"value": ["3", 0]}),
        )
    )
    assert calls == [("Number", 3), ("Add", 3, 3), ("Save", 6)]


def test_results_are_freed_after_their_last_use_when_nothing_is_kept(pack, tmp_path, pack_module, api):
    host = Host([pack], output=tmp_path, keep=False)
    workflow = api(
        n1=("TestNumber", {"seed": 3}),
        n2=("TestNumber", {"seed": 3}),
        n3=("TestAdd", {"a": ["1", 0], "b": ["2", 0]}),
        n4=("TestSave", {"value": ["3", 0]}),
        n5=("TestSave", {"value": ["1", 0]}),
    )
    assert len(host.run(workflow).written) == 2
    assert host.executor._kept == {}
    host.run(workflow)
    assert [call for call in pack_module.CALLS if call[0] == "Add"] == [("Add", 3, 3)] * 2


def test_results_that_a_run_does_not_need_are_freed_before_it_begins(host, pack_module, api):
    class Big(str):
        pass

    held, alive = [Big("one")], []

    def workflow(stamp):
        pack_module.STAMP[0] = stamp
        return api(n1=("TestStamp", {}), n2=("TestSave", {"value": ["1", 0]}))

    host.run(workflow(1))
    (result,) = (value for value in host.executor._kept.values() if not value.shown)
    result.slots[0][0] = held.pop()
    gone = weakref.ref(result.slots[0][0])
    del result
    host.session.on_node = lambda event: alive.append(gone() is not None)
    host.run(workflow(2))
    assert alive
    assert not any(alive)


def test_changed_fingerprint_runs_a_node_anew(host, pack_module, api):
    workflow = api(n1=("TestStamp", {}), n2=("TestSave", {"value": ["1", 0]}))
    host.run(workflow)
    host.run(workflow)
    assert pack_module.CALLS == [("Stamp", 1), ("Save", 7)]
    pack_module.STAMP[0] = 2
    host.run(workflow)
    assert pack_module.CALLS[2:] == [("Stamp", 2), ("Save", 7)]
    pack_module.STAMP[0] = float("nan")
    host.run(workflow)
    host.run(workflow)
    assert len([call for call in pack_module.CALLS if call[0] == "Stamp"]) == 4


def test_only_the_wanted_lazy_input_is_computed(value, calls, api):
    workflow = api(
        n1=("TestNumber", {"seed": 1}),
        n2=("TestNumber", {"seed": 2}),
        n3=("TestSwitch", {"which": False, "yes": ["1", 0], "no": ["2", 0]}),
        n4=("TestSave", {"value": ["3", 0]}),
    )
    assert value(workflow) == ["2"]
    assert ("Number", 1) not in calls


def test_list_output_runs_the_next_node_once_an_item(value, calls, api):
    workflow = api(
        n1=("TestNumbers", {"count": 3}), n2=("TestAdd", {"a": ["1", 0], "b": 10}), n3=("TestSave", {"value": ["2", 0]})
    )
    assert value(workflow) == ["10", "11", "12"]


def test_node_that_takes_lists_gets_all_items_at_once(value, api):
    workflow = api(
        n1=("TestNumbers", {"count": 4}),
        n2=("TestSum", {"a": ["1", 0], "times": 2}),
        n3=("TestSave", {"value": ["2", 0]}),
    )
    assert value(workflow) == ["12"]


def test_empty_list_is_told(host, api):
    workflow = api(n1=("TestNumbers", {"count": 0}), n2=("TestSave", {"value": ["1", 0]}))
    with pytest.raises(HostError, match="the list that arrives at value of Save is empty"):
        host.run(workflow)


def test_growing_inputs_arrive_as_one_dict(value, api):
    grow = ("TestGrow", {"items.item0": ["1", 0], "items.item2": ["1", 0]})
    assert value(api(n1=("TestNumber", {"seed": 5}), n2=grow, n3=("TestSave", {"value": ["2", 0]}))) == [
        "{'item0': 5, 'item2': 5}"
    ]


def test_missing_growing_input_is_told(host, api):
    with pytest.raises(HostError, match=r"items\.item0 is not connected"):
        host.run(api(n2=("TestGrow", {}), n3=("TestSave", {"value": ["2", 0]})))


def test_dynamic_choice_arrives_with_its_own_inputs(value, api):
    for given, arrives in [
        ({"format": "mp4", "format.crf": 30}, "{'format': 'mp4', 'crf': 30} 5"),
        ({"format": "mp4"}, "{'format': 'mp4', 'crf': 20} 5"),
        ({}, "{'format': 'gif'} 5"),
    ]:
        assert value(api(n1=("TestFormat", given), n2=("TestSave", {"value": ["1", 0]}))) == [arrives]


def test_hidden_inputs_are_those_asked_for(value, api):
    assert value(api(n1=("TestHidden", {}), n2=("TestSave", {"value": ["1", 0]}))) == ["1 ['1', '2'] None"]


def test_matched_type_passes_anything(value, api):
    workflow = api(
        n1=("TestText", {"text": "hi"}), n2=("TestSame", {"it": ["1", 0]}), n3=("TestSave", {"value": ["2", 0]})
    )
    assert value(workflow) == ["hi"]


def test_blocked_result_stops_what_follows(value, calls, api, caplog):
    workflow = api(n1=("TestBlock", {}), n2=("TestAdd", {"a": ["1", 0]}), n3=("TestSave", {"value": ["2", 0]}))
    with caplog.at_level(logging.WARNING):
        assert value(workflow) == []
    assert calls == []
    assert "nothing to do" in caplog.text


def test_failing_node_is_named(host, api):
    with pytest.raises(HostError, match=r'"Fail" \(node 1\) failed: KeyError: \'inner\'') as caught:
        host.run(api(n1=("TestFail", {"a": 1}), n2=("TestSave", {"value": ["1", 0]})))
    assert isinstance(caught.value.__cause__, KeyError)


def test_node_that_exits_python_is_named(host, api):
    with pytest.raises(HostError, match=r"\(node 1\) failed: SystemExit: 3"):
        host.run(api(n1=("TestExit", {"code": 3}), n2=("TestSave", {"value": ["1", 0]})))


def test_results_before_a_failure_are_kept_for_the_next_run(host, calls, api):
    workflow = api(
        n1=("TestNumber", {"seed": 2}), n2=("TestFail", {"a": ["1", 0]}), n3=("TestSave", {"value": ["2", 0]})
    )
    for _ in range(2):
        with pytest.raises(HostError):
            host.run(workflow)
    assert calls == [("Number", 2)]


def test_progress_is_reported_with_node_and_preview(pack, tmp_path, api):
    seen = []
    host = Host([pack], output=tmp_path, on_progress=seen.append)
    host.run(
        api(
            n1=("TestSteps", {"steps": 2}),
            n2=("TestStepsAsync", {}),
            n3=("TestAdd", {"a": ["1", 0], "b": ["2", 0]}),
            n4=("TestSave", {"value": ["3", 0]}),
        )
    )
    assert [(one.node_id, one.title, one.value, one.maximum, one.preview) for one in seen] == [
        ("1", "Steps", 1, 2, "picture"),
        ("1", "Steps", 2, 2, "picture"),
        ("2", "StepsAsync", 1, 2, None),
    ]


def test_cancel_stops_at_the_next_report_and_the_host_can_run_again(pack, tmp_path, pack_module, api):
    host = Host([pack], output=tmp_path, on_progress=lambda progress: host.cancel.set())
    workflow = api(n1=("TestSteps", {"steps": 9}), n2=("TestSave", {"value": ["1", 0]}))
    with pytest.raises(Cancelled):
        host.run(workflow)
    assert pack_module.CALLS == [("Steps", 0), ("Steps", 1)]
    assert not list(tmp_path.glob("*.txt"))
    host.session.on_progress = None
    host.cancel.clear()
    assert len(host.run(workflow).written) == 1
