"""Queueing from a page: what is answered, what the page hears, what is remembered."""

import asyncio
import json
import re

import pytest
from aiohttp import WSMsgType
from PIL import Image

from moviegen_host.studio.app import QUEUE


def add(a=1, b=2, then="TestSave"):
    """TestAdd -> an output node."""
    return {
        "1": {"class_type": "TestAdd", "inputs": {"a": a, "b": b}},
        "2": {"class_type": then, "inputs": {"value": ["1", 0], "name": "sum"}},
    }


def steps(count):
    """A node of many steps -> an output node."""
    return {
        "1": {"class_type": "TestSteps", "inputs": {"steps": count}},
        "2": {"class_type": "TestSave", "inputs": {"value": ["1", 0]}},
    }


async def queue(client, prompt, **more):
    """POST /api/prompt -> status, answer."""
    async with client.post("/api/prompt", json={"prompt": prompt, "client_id": "page", **more}) as answer:
        return answer.status, await answer.json()


async def heard(socket, end=("execution_success", "execution_error", "execution_interrupted")):
    """Text messages until the run ends: (type, data)."""
    found = []
    while True:
        message = await socket.receive(timeout=30)
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        if message.type is WSMsgType.BINARY:
            found.append(("binary", message.data))
            continue
        event = json.loads(message.data)
        found.append((event["type"], event["data"]))
        if event["type"] in end:
            return found


async def ended(client, job_id):
    """The job once it has ended."""
    for _ in range(300):
        job = await (await client.get(f"/api/jobs/{job_id}")).json()
        if "execution_end_time" in job or job["status"] == "cancelled":
            return job
        await asyncio.sleep(0.05)
    raise AssertionError("the job does not end")


def test_page_hears_progress_and_the_result_of_its_job(visit, home):
    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            status, answer = await queue(client, add())
            events = await heard(socket)
        return status, answer, events

    status, answer, events = visit(scenario)
    kinds = [kind for kind, _ in events]
    assert (status, answer["node_errors"]) == (200, {})
    assert events[0][1]["sid"] == "page"
    assert kinds.index("execution_start") < kinds.index("executing") < kinds.index("executed")
    executed = dict(events)["executed"]
    assert executed["output"]["images"][0]["filename"] == "sum_00001.txt"
    assert {data["prompt_id"] for kind, data in events if kind.startswith("exec")} == {answer["prompt_id"]}
    states = dict(events)["progress_state"]["nodes"]
    assert {key: state["state"] for key, state in states.items()} == {"1": "finished", "2": "finished"}
    assert (home / "output/sum_00001.txt").read_text() == "3"


def test_page_hears_how_far_a_node_is_and_how_long_it_took(visit):
    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            await queue(client, steps(40))
            return await heard(socket)

    frames = [data for kind, data in visit(scenario) if kind == "binary"]
    last = [frame for frame in frames if frame[:4] == b"\0\0\0\3"][-1]
    assert last[4:9] == b"\0\0\0\1" + b"1"
    assert re.fullmatch(rb"40 of 40 in \d+ s", last[9:])


def test_second_run_is_answered_from_the_cache(visit):
    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            await queue(client, add())
            await heard(socket)
            await queue(client, add())
            return await heard(socket)

    events = visit(scenario)
    assert "executing" not in [kind for kind, data in events if data.get("node")]
    assert any(kind == "execution_cached" and data["nodes"] for kind, data in events)
    assert dict(events)["executed"]["output"]["images"]


def test_refused_graph_names_the_node_and_its_input(visit):
    async def scenario(client):
        return await queue(client, {"2": {"class_type": "TestSave", "inputs": {"name": "x"}}})

    status, answer = visit(scenario)
    [error] = answer["node_errors"]["2"]["errors"]
    assert status == 400
    assert error["extra_info"] == {"input_name": "value"}
    assert "is not connected" in error["message"]
    assert answer["error"]["message"] == error["message"]


def test_unknown_circular_and_mistyped_graphs_are_refused_with_a_sentence(visit):
    prompts = {
        "is not installed": {"1": {"class_type": "Nowhere", "inputs": {}}},
        "nothing would be saved": {"1": {"class_type": "TestAdd", "inputs": {}}},
        "run in a circle": {
            "1": {"class_type": "TestAdd", "inputs": {"a": ["1", 0]}},
            "2": {"class_type": "TestSave", "inputs": {"value": ["1", 0]}},
        },
        "is no workflow": {"1": {"inputs": {}}},
        "inputs of node 1": {"1": {"class_type": "TestAdd", "inputs": [3]}},
    }

    async def scenario(client):
        return {sentence: await queue(client, prompt) for sentence, prompt in prompts.items()}

    for sentence, (status, answer) in visit(scenario).items():
        assert status == 400
        assert sentence in answer["error"]["message"]


def failure_then_job(failing):
    """What a page hears of a prompt that fails, and how the job after it ends."""

    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            await queue(client, failing)
            first = dict(await heard(socket))["execution_error"]
            _, answer = await queue(client, add())
            return first, await ended(client, answer["prompt_id"])

    return scenario


@pytest.mark.parametrize("debug", ["0", "1"])
def test_failure_stands_on_its_node_and_the_next_job_runs(visit, caplog, monkeypatch, debug):
    monkeypatch.setenv("MOVIEGEN_DEBUG", debug)
    failing = {
        "1": {"class_type": "TestFail", "inputs": {"a": 1}},
        "2": {"class_type": "TestSave", "inputs": {"value": ["1", 0]}},
    }

    error, job = visit(failure_then_job(failing))
    assert (error["node_id"], error["node_type"], error["exception_type"]) == ("1", "TestFail", "KeyError")
    assert "inner" in error["exception_message"]
    assert ("Traceback" in caplog.text) is (debug == "1")
    assert job["status"] == "completed"


def test_node_that_exits_python_fails_and_the_next_job_runs(visit):
    leaving = {
        "1": {"class_type": "TestExit", "inputs": {"code": 3}},
        "2": {"class_type": "TestSave", "inputs": {"value": ["1", 0]}},
    }

    error, job = visit(failure_then_job(leaving))
    assert (error["node_id"], error["exception_message"]) == ("1", '"Exit" (node 1) failed: SystemExit: 3')
    assert job["status"] == "completed"


@pytest.mark.parametrize(("prefix", "reason"), [("../x", "use a plain name"), ("taken/x", "choose another")])
def test_place_that_cannot_be_written_is_refused_before_the_work(visit, home, prefix, reason):
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }

    async def scenario(client):
        Image.new("RGB", (4, 4)).save(home / "input/a.png")
        (home / "output/taken").write_text("a file where a folder is needed")
        return await queue(client, prompt)

    status, answer = visit(scenario)
    [error] = answer["node_errors"]["2"]["errors"]
    assert (status, error["extra_info"]) == (400, {"input_name": "filename_prefix"})
    assert reason in error["message"]


def test_interrupt_stops_the_running_job_within_a_step(visit):
    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            await queue(client, steps(10**7))
            await heard(socket, end=("executing",))
            await client.post("/api/interrupt", json={})
            return (await heard(socket))[-1]

    kind, data = visit(scenario)
    assert (kind, data["node_id"]) == ("execution_interrupted", "1")


def test_waiting_jobs_are_listed_and_taken_out(visit):
    async def scenario(client):
        _, running = await queue(client, steps(10**7))
        _, waiting = await queue(client, add())
        _, first = await queue(client, add(5), front=True)
        listed = await (await client.get("/api/queue")).json()
        jobs = await (await client.get("/api/jobs?status=pending")).json()
        cancelled = await (await client.post("/api/jobs/cancel", json={"job_ids": [waiting["prompt_id"]]})).json()
        await client.post("/api/queue", json={"delete": [first["prompt_id"]]})
        left = await (await client.get("/prompt")).json()
        await client.post(f"/api/jobs/{running['prompt_id']}/cancel")
        ends = [await ended(client, one["prompt_id"]) for one in (running, waiting, first)]
        return listed, jobs, cancelled, left, [job["status"] for job in ends], first["prompt_id"]

    listed, jobs, cancelled, left, ends, first = visit(scenario)
    assert listed["queue_pending"][0][1] == first
    assert jobs["pagination"]["total"] == 2
    assert cancelled == {"cancelled": True}
    assert left["exec_info"]["queue_remaining"] == 1
    assert ends == ["cancelled"] * 3


def test_history_shows_finished_jobs_and_forgets_on_demand(visit):
    async def scenario(client):
        _, answer = await queue(client, add(), extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
        job = await ended(client, answer["prompt_id"])
        history = await (await client.get("/history")).json()
        await client.post("/api/history", json={"clear": True})
        return job, history[answer["prompt_id"]], await (await client.get("/api/history")).json()

    job, entry, after = visit(scenario)
    assert (job["status"], job["workflow_id"], job["outputs_count"]) == ("completed", "w", 1)
    assert job["preview_output"]["nodeId"] == "2"
    assert entry["status"]["status_str"] == "success"
    assert after == {}


def test_only_the_wanted_outputs_run(visit, home):
    prompt = {**add(), "3": {"class_type": "TestSave", "inputs": {"value": ["1", 0], "name": "other"}}}

    async def scenario(client):
        _, answer = await queue(client, prompt, partial_execution_targets=["3"])
        return await ended(client, answer["prompt_id"])

    assert list(visit(scenario)["outputs"]) == ["3"]
    assert [file.name for file in (home / "output").iterdir()] == ["other_00001.txt"]


def test_ten_pages_at_once_lose_nothing(visit):
    async def page(client, number):
        async with client.ws_connect(f"/ws?clientId=page{number}") as socket:
            prompt = add(number, 100)
            await client.post("/api/prompt", json={"prompt": prompt, "client_id": f"page{number}"})
            return await heard(socket)

    async def scenario(client):
        return await asyncio.gather(*(page(client, number) for number in range(10)))

    for events in visit(scenario):
        assert events[-1][0] == "execution_success"
        assert sum(kind == "executed" for kind, _ in events) == 1


def test_object_info_carries_widgets_and_dynamic_inputs(visit):
    async def scenario(client):
        return await (await client.get("/api/object_info")).json()

    found = visit(scenario)
    seed = found["TestNumber"]["input"]["required"]["seed"]
    assert seed == ["INT", {"default": 1, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
    assert found["TestText"]["input"]["required"]["style"][1]["options"] == ["plain", "loud"]
    kind, options = found["TestFormat"]["input"]["required"]["format"]
    assert kind == "COMFY_DYNAMICCOMBO_V3"
    assert options["options"][1]["inputs"]["required"]["crf"][0] == "INT"
    kind, options = found["TestGrow"]["input"]["required"]["items"]
    assert (kind, options["template"]["prefix"]) == ("COMFY_AUTOGROW_V3", "item")
    assert found["TestAdd"]["output_name"] == ["sum"]
    assert found["TestAdd"]["python_module"] == "custom_nodes.grown-pack"
    assert found["SaveVideo"]["python_module"] == "nodes"


def test_body_that_is_no_json_object_is_refused(visit):
    async def scenario(client):
        bodies = ["{", "[]", "[" * 200_000, '"text"']
        return [(await client.post("/api/prompt", data=body)).status for body in bodies]

    assert visit(scenario) == [400] * 4


def test_duplicated_tab_hears_its_jobs_beside_the_first_one(visit):
    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as first, client.ws_connect("/ws?clientId=page") as second:
            await queue(client, add())
            found = [await heard(first), await heard(second)]
            await first.close()
            await queue(client, add(5))
            return found, await heard(second)

    both, after = visit(scenario)
    assert [events[-1][0] for events in (*both, after)] == ["execution_success"] * 3


def test_damaged_prompts_are_refused_and_the_queue_goes_on(visit):
    prompts = [
        {"1": {"class_type": ["TestAdd"], "inputs": {}}},
        {"1": {"class_type": "TestAdd", "inputs": {"a": [[], {}]}}, "2": {"class_type": "TestSave", "inputs": []}},
        {"1": {"class_type": "TestSave", "inputs": {"value": ["1", 10**30]}}},
        {"1": {"class_type": "TestSave", "inputs": {"value": ["../1", 0]}}},
        {"1": {"class_type": "TestSave", "inputs": {"value": 1, "name": "x"}, "_meta": 3}},
        {"1": None},
        {**add(), "1": {"class_type": "TestNumber", "inputs": {"seed": 10**400}}},
    ]

    async def scenario(client):
        refused = [await queue(client, prompt) for prompt in prompts]
        strange = [await queue(client, add(), extra_data=extra) for extra in ([], {"extra_pnginfo": 3}, None)]
        targets = await queue(client, add(), partial_execution_targets=[{}])
        status, answer = await queue(client, add())
        return refused, [one[0] for one in (*strange, targets)], status, await ended(client, answer["prompt_id"])

    refused, strange, status, job = visit(scenario)
    assert [code for code, _ in refused] == [400] * len(prompts)
    assert all(answer["error"]["message"] for _, answer in refused)
    assert set(strange) <= {200, 400}
    assert (status, job["status"]) == (200, "completed")


def test_free_drops_what_is_kept_for_the_next_run(visit, home):
    async def scenario(client):
        kept = client.app[QUEUE].host.executor
        _, first = await queue(client, add())
        await ended(client, first["prompt_id"])
        before = len(kept._kept)
        assert (await client.post("/api/free", json={"unload_models": True})).status == 200
        after = len(kept._kept)
        found = []
        for freed in (False, True):
            endless = {str(int(key) + 2): node for key, node in steps(10**9).items()}
            endless["4"]["inputs"]["value"] = ["3", 0]
            _, running = await queue(client, {**add(a=2 + freed), **endless})
            while len(written := list((home / "output").glob("*.txt"))) < 2 + freed:
                await asyncio.sleep(0.01)
            if freed:
                await client.post("/api/free")
            await client.post("/api/interrupt", json={"prompt_id": running["prompt_id"]})
            assert (await ended(client, running["prompt_id"]))["status"] == "cancelled", written
            found.append(len(kept._kept))
        return before, after, found

    assert visit(scenario) == (2, 0, [2, 0])


def test_workflow_that_is_no_object_is_refused_and_the_job_list_stays_whole(visit):
    async def scenario(client):
        answers = [
            (await queue(client, add(), extra_data={"extra_pnginfo": info}))[0]
            for info in ({"workflow": "text"}, ["workflow"], {"workflow": {"id": "a"}}, None)
        ]
        listed = await client.get("/api/jobs")
        return answers, listed.status

    assert visit(scenario) == ([400, 400, 200, 200], 200)
