"""The pack as moviegen_host loads it, with tiny weight files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """tests/nodes/tiny.py."""
    spec = importlib.util.spec_from_file_location("moviegen_tiny", Path(__file__).with_name("tiny.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
