"""A small node pack, written to a folder and loaded by path, as a user's pack is."""

import shutil
import sys
from pathlib import Path

import pytest

from moviegen_host.registry import default_registry
from moviegen_host.run import Host


@pytest.fixture(scope="session")
def pack(tmp_path_factory) -> Path:
    """The pack's folder."""
    folder = tmp_path_factory.mktemp("packs") / "tiny-pack.v1"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("tiny_pack.py"), folder / "__init__.py")
    return folder


@pytest.fixture(scope="session")
def registry(pack):
    """Stock nodes and the pack."""
    return default_registry([pack])


@pytest.fixture
def host(pack, tmp_path):
    """A host that writes below tmp_path/out."""
    return Host([pack], output=tmp_path / "out", input_directory=tmp_path)


@pytest.fixture
def pack_module(host):
    """The loaded pack, with nothing noted yet."""
    module = sys.modules[host.registry.nodes["TestAdd"].__module__]
    module.CALLS.clear()
    module.STAMP[0] = 1
    return module


@pytest.fixture
def calls(pack_module):
    """What the pack's nodes note when they run."""
    return pack_module.CALLS


def _api(**nodes):
    """API format: n1=("TestAdd", {"a": 1, "b": ["2", 0]}) becomes node "1"."""
    return {
        name.removeprefix("n"): {"class_type": kind, "inputs": inputs, "_meta": {"title": kind.removeprefix("Test")}}
        for name, (kind, inputs) in nodes.items()
    }


def _node(id, type, inputs=(), outputs=(), values=(), mode=0, **more):
    """A node of the UI format; inputs are (name, type, link) or (name, type, link, "widget")."""
    return {
        "id": id,
        "type": type,
        "mode": mode,
        "inputs": [
            {"name": one[0], "type": one[1], "link": one[2], **({"widget": {"name": one[0]}} if one[3:] else {})}
            for one in inputs
        ],
        "outputs": [{"name": kind, "type": kind, "links": []} for kind in outputs],
        "widgets_values": list(values),
        **more,
    }


def _ui(nodes, links=(), **more):
    """A workflow of the UI format; links are (id, from, slot, to, slot, type)."""
    return {"nodes": list(nodes), "links": [list(link) for link in links], "version": 0.4, **more}


@pytest.fixture
def api():
    """Writes the API format."""
    return _api


@pytest.fixture
def node():
    """Writes one node of the UI format."""
    return _node


@pytest.fixture
def ui():
    """Writes the UI format."""
    return _ui
