"""The pack as moviegen_host loads it, with tiny weight files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def beside(name: str) -> ModuleType:
    """A helper module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"moviegen_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files named test_comfy_... need a real ComfyUI."""
    needed = [item for item in items if item.path.name.startswith("test_comfy_") and item.path.parent == HERE]
    for item in needed:
        for mark in beside("comfy_server").pytestmark:
            item.add_marker(mark)


@pytest.fixture(scope="session")
def comfy() -> ModuleType:
    """tests/nodes/comfy_server.py."""
    return beside("comfy_server")


@pytest.fixture(scope="session")
def server(comfy, tmp_path_factory, weights):
    """A running ComfyUI with this pack and tiny weights."""
    server = comfy.Server(tmp_path_factory.mktemp("comfyui"), weights)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(scope="session")
def info(server) -> dict[str, Any]:
    """What the server says of every node."""
    return server.ask("/object_info")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """tests/nodes/tiny.py."""
    return beside("tiny")


@pytest.fixture(scope="session")
def weights(tiny, tmp_path_factory) -> dict[str, str]:
    """Paths of tiny weight files by part, as a loader of the standalone runtime takes them."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.write_all(folder)
    return {part: str(folder / f"{part}.safetensors") for part in ("video", "tae", "ul2", "metaclip", "byt5")}


@pytest.fixture(scope="session")
def sound_weights(tiny, tmp_path_factory) -> dict[str, str]:
    """Paths of tiny sound weights by part."""
    return tiny.write_sound(tmp_path_factory.mktemp("sound_weights"))


@pytest.fixture(scope="session")
def registry():
    """Stock nodes and this pack on the stand-in for ComfyUI's node API."""
    from moviegen_host.registry import default_registry

    return default_registry()


@pytest.fixture(scope="session")
def nodes(registry) -> dict[str, type]:
    """Node classes by id."""
    return registry.nodes


@pytest.fixture(scope="session")
def part(registry) -> Callable[[str], ModuleType]:
    """Modules of the pack's nodes folder by name, such as "convert" or "runtime.files"."""
    package = str(ROOT).replace(".", "_x_")
    assert package in sys.modules
    return lambda name: importlib.import_module(f"{package}.nodes.{name}")


@pytest.fixture(scope="module")
def parts(nodes, weights, sound_weights):
    """tests/nodes/sound_parts.py on the tiny weights."""
    return beside("sound_parts").Parts(nodes, weights, sound_weights)
