"""Who is served, and what the editor loads at its start."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import struct
import webbrowser
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from moviegen_host.errors import HostError
from moviegen_host.studio import pages
from moviegen_host.studio.app import serve


def test_editor_and_what_packs_add_are_served(visit):
    async def scenario(client):
        async def get(path):
            answer = await client.get(path)
            kind = answer.headers["Content-Type"]
            return await answer.json() if "json" in kind else (kind, await answer.text())

        names = ["/", "/assets/main.js", "/extensions/grown-pack/docs/TestAdd.md", "/api/extensions", "/api/i18n"]
        names += ["/api/workflow_templates", "/api/workflow_templates/grown-pack/adding.json", "/templates/index.json"]
        return [await get(name) for name in names]

    index, script, help_page, extensions, languages, templates, template, own = visit(scenario)
    assert index[1] == "<title>editor</title>"
    assert script[0].startswith("text/javascript")
    assert help_page == ("text/markdown", "# Add")
    assert extensions == ["/extensions/core/one.js", "/extensions/grown-pack/js/x.js"]
    assert languages == {"de": {"hello": "hallo", "nodeDefs": {"TestAdd": {"display_name": "Addieren"}}}}
    assert templates == {"grown-pack": ["adding"]}
    assert template == {"nodes": []}
    assert own == []


def test_json_beside_the_workflows_is_no_template(visit, grown_pack):
    node = {"class_type": "TestAdd", "inputs": {}}
    files = {
        "list": ["a", "b"],
        "text": "a",
        "any": {"any": "json"},
        "empty": {},
        "nodes": {"nodes": {}},
        "numbers": {"nodes": [1]},
        "subgraphs": {"nodes": [], "definitions": {"subgraphs": [1]}},
        "strange": {"1": {"class_type": ["TestAdd"]}},
        "unknown": {"1": node, "2": {"class_type": "OnlyInComfyUI"}},
        "prompt": {"1": node},
    }
    (grown_pack / "examples").mkdir()
    for name, content in files.items():
        (grown_pack / f"examples/{name}.json").write_text(json.dumps(content))
    (grown_pack / "examples/deep.json").write_text("[" * 100_000)

    async def scenario(client):
        return await (await client.get("/api/workflow_templates")).json()

    assert visit(scenario) == {"grown-pack": ["adding", "prompt"]}


def test_language_files_of_a_wrong_kind_are_left_out(visit, grown_pack, caplog):
    (grown_pack / "locales/fr").mkdir()
    (grown_pack / "locales/de/main.json").write_text('["a"]')
    (grown_pack / "locales/fr/main.json").write_text('{"nodeDefs": "text"}')
    (grown_pack / "locales/fr/nodeDefs.json").write_text('{"TestAdd": {}}')

    async def scenario(client):
        return await (await client.get("/api/i18n")).json()

    names = {"TestAdd": {"display_name": "Addieren"}}
    assert visit(scenario) == {"de": {"nodeDefs": names}, "fr": {"nodeDefs": {"TestAdd": {}}}}
    assert "de/main.json holds a list, not an object" in caplog.text


def test_blueprints_are_listed_and_given_as_text(visit):
    async def scenario(client):
        listed = await (await client.get("/api/global_subgraphs")).json()
        [key] = listed
        return listed[key], await (await client.get(f"/api/global_subgraphs/{key}")).json()

    listed, whole = visit(scenario)
    assert (listed["name"], listed["info"]) == ("Adder", {"node_pack": "custom_nodes.grown-pack"})
    assert whole["data"] == '{"definitions": {}}'


@pytest.mark.parametrize(
    "path", ["/..%2Fsecret.txt", "/assets/..%2F..%2Fsecret.txt", "/extensions/grown-pack/..%2F__init__.py"]
)
def test_no_page_path_leaves_its_folder(visit, tmp_path, path):
    (tmp_path / "secret.txt").write_text("secret")

    async def scenario(client):
        return (await client.get(path)).status

    assert visit(scenario) == 403


def test_first_visit_opens_the_first_template_and_later_ones_what_was_open(registry, frontend):
    async def scenario():
        app = web.Application()
        app.add_routes(pages.PageRoutes(registry, [], frontend, start="/?template=first").files())
        async with TestClient(TestServer(app)) as client:
            answers = [await client.get("/", allow_redirects=False) for _ in range(2)]
            return [(answer.status, answer.headers.get("Location")) for answer in answers]

    assert asyncio.run(scenario()) == [(302, "/?template=first"), (200, None)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8188"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_request_of_another_site_is_refused(visit, headers):
    async def scenario(client):
        posted = await client.post("/api/interrupt", json={}, headers=headers)
        socket = await client.get("/ws", headers={**headers, "Upgrade": "websocket", "Connection": "Upgrade"})
        return posted.status, socket.status

    assert visit(scenario) == (403, 403)


def test_request_of_its_own_page_is_served(visit):
    async def scenario(client):
        host = f"{client.host}:{client.port}"
        mine = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        return (await client.post("/api/interrupt", json={}, headers=mine)).status

    assert visit(scenario) == 200


def test_page_is_told_what_the_server_can_do(visit):
    async def scenario(client):
        async with client.ws_connect("/ws") as socket:
            await socket.receive_json()
            await socket.send_str("no json")
            await socket.send_json({"type": "feature_flags", "data": {}})
            answer = await socket.receive_json()
        return answer, await (await client.get("/features")).json()

    answer, features = visit(scenario)
    assert answer == {"type": "feature_flags", "data": features}
    assert features["supports_preview_metadata"] is True


def test_system_replacements_and_logs_answer(visit):
    async def scenario(client):
        stats = await (await client.get("/api/system_stats")).json()
        rules = await (await client.get("/api/node_replacements")).json()
        lines = await (await client.get("/internal/logs/raw")).json()
        wrong = await client.patch("/internal/logs/subscribe", json=[])
        return stats, rules, lines, wrong.status

    stats, rules, lines, wrong = visit(scenario)
    assert stats["system"]["ram_total"] >= stats["system"]["ram_free"] >= 0
    assert [rule["new_node_id"] for rule in rules["OldPlus"]] == ["TestAdd"]
    assert isinstance(lines["entries"], list)
    assert wrong == 400


def test_log_panel_shows_a_run_and_the_console_only_warnings(visit, caplog):
    prompt = {
        "1": {"class_type": "TestAdd", "inputs": {}},
        "2": {"class_type": "TestSave", "inputs": {"value": ["1", 0]}},
    }
    core = logging.getLogger("moviegen_core")

    async def scenario(client):
        async with client.ws_connect("/ws?clientId=page") as socket:
            await client.patch("/internal/logs/subscribe", json={"clientId": "page", "enabled": True})
            await client.post("/api/prompt", json={"prompt": prompt, "client_id": "page"})
            heard = []
            while (event := await socket.receive_json(timeout=30))["type"] != "execution_success":
                heard += event["data"].get("entries", [])
        core.info("resampled")
        core.warning("limited")
        return heard, (await (await client.get("/internal/logs/raw")).json())["entries"]

    heard, kept = visit(scenario)
    lines = [entry["m"] for entry in kept]
    assert lines == [
        "moviegen_host.executor: Add: runs\n",
        "moviegen_host.executor: Save: runs\n",
        "moviegen_core: resampled\n",
        "moviegen_core: limited\n",
    ]
    assert heard == kept[:2]
    assert [record.getMessage() for record in caplog.records] == ["limited"]
    assert not core.isEnabledFor(logging.INFO)


def test_preview_reaches_the_page_as_a_named_jpeg(visit):
    from moviegen_host.studio.events import Client, Events

    async def scenario(client):
        import asyncio

        events = Events()
        events.loop = asyncio.get_running_loop()
        knows, plain = Client("a", None, {"supports_preview_metadata": True}), Client("b", None)
        events.clients = [knows, plain]
        events.preview(b"jpeg", {"node_id": "7"}, None)
        await asyncio.sleep(0)
        return knows.outbox.get_nowait(), plain.outbox.get_nowait()

    named, plain = visit(scenario)
    kind, length = struct.unpack(">II", named[:8])
    assert (kind, named[8 + length :]) == (4, b"jpeg")
    assert b'"node_id": "7"' in named[8 : 8 + length]
    assert plain == struct.pack(">II", 1, 1) + b"jpeg"


def test_missing_frontend_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(pages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HostError, match=r"pip install -e '\.\[studio\]'"):
        pages.frontend_folder()


def test_page_is_served_while_packs_are_still_read(visit, grown_pack, tmp_path):
    gate = tmp_path / "open"
    waiting = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
    code = (grown_pack / "__init__.py").read_text()
    (grown_pack / "__init__.py").write_text(code.replace("import ", f"{waiting}import ", 1))

    async def scenario(client):
        asked = asyncio.create_task(client.get("/api/object_info"))
        early = [(await client.get(path)).status for path in ("/", "/assets/main.js", "/api/settings", "/api/i18n")]
        held_back = not asked.done()
        gate.touch()
        return early, held_back, await (await asked).json()

    early, held_back, nodes = visit(scenario)
    assert early == [200] * 4
    assert held_back
    assert {"TestAdd", "SaveVideo"} <= set(nodes)


def test_pack_that_cannot_be_read_ends_the_studio_with_its_sentence(tmp_path, capsys, frontend):
    (tmp_path / "empty").mkdir()
    empty = [tmp_path / "empty"]
    assert serve(tmp_path, port=0, open_browser=False, packs=empty, frontend=frontend) == 2
    assert "holds no node pack" in capsys.readouterr().err


def test_page_that_waits_for_an_unreadable_pack_is_told_why(visit, grown_pack):
    (grown_pack / "__init__.py").unlink()

    async def scenario(client):
        answer = await client.get("/api/object_info")
        return answer.status, await answer.text()

    status, text = visit(scenario)
    assert status == 500
    assert "holds no node pack" in text


def test_studio_listens_to_this_machine_alone_until_ctrl_c(tmp_path, capsys, monkeypatch, frontend, pack):
    reached = {}

    def visited(address):
        """A browser that is opened, and closed by Ctrl-C."""
        port = urlsplit(address).port
        for host in ("127.0.0.1", "127.0.0.2"):  # the second is this machine by another of its addresses
            reached[host] = False
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
                reached[host] = True
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(webbrowser, "open", visited)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert serve(tmp_path / "studio", port=0, packs=[pack], frontend=frontend) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == {"127.0.0.1": True, "127.0.0.2": False}
    assert capsys.readouterr().out.startswith("studio: http://127.0.0.1:")


def test_taken_port_is_refused_with_the_remedy(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = serve(tmp_path, port=taken.getsockname()[1], open_browser=False)
    assert code == 2
    assert "choose another with --port" in capsys.readouterr().err
