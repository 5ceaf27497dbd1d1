"""Which node types there are: the host's own stock nodes and the packs it loads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import difflib
import importlib.util
import sys
import threading
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from . import comfy_api
from .errors import HostError
from .io import ComfyNode, DynamicInput, Input, Schema

OWN_PACK = Path(__file__).resolve().parents[1]
VIRTUAL = frozenset({"Note", "MarkdownNote", "Reroute", "PrimitiveNode"})  # exist in the frontend only


class Registry:
    """Node classes by id, with their schemas."""

    def __init__(self, nodes: Iterable[type[ComfyNode]] = ()) -> None:
        self.nodes: dict[str, type[ComfyNode]] = {}
        self.packs: dict[str, Path] = {}  # folder of each node id that a pack brought
        self._schemas: dict[str, Schema] = {}
        for node in nodes:
            self.add(node)

    def add(self, node: type[ComfyNode]) -> None:
        """Registers a class under its node id; a later one replaces an earlier."""
        schema = node.GET_SCHEMA()
        self.nodes[schema.node_id] = node
        self._schemas[schema.node_id] = schema

    def refresh(self) -> None:
        """Reads all schemas again: their choices of files may have changed since."""
        for node in list(self.nodes.values()):
            self.add(node)

    def schema(self, class_type: str) -> Schema | None:
        """The declaration of a node type; None when it is not installed."""
        return self._schemas.get(class_type)

    def nearest(self, class_type: str) -> str:
        """A hint for a misspelt node type, or nothing."""
        close = difflib.get_close_matches(class_type, self.nodes, 1)
        return f"; use {close[0]} if that is meant" if close else ""

    def load_pack(self, folder: str | Path) -> None:
        """Loads a pack as ComfyUI does: a module named by its path, then `comfy_entrypoint()`, or HostError."""
        root = Path(folder).resolve()
        if not (root / "__init__.py").is_file():
            raise HostError(f"{root} holds no node pack (no __init__.py); give the folder of a pack")
        comfy_api.install()
        try:
            self._add_nodes(root)
        except HostError:
            raise
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            remedy = "repair the pack or leave it out"
            if isinstance(error, ImportError):
                remedy = "install what is missing, or use the pack in ComfyUI if that is a part of it"
            raise HostError(f"{root} cannot be loaded ({reason}); {remedy}") from error

    def _add_nodes(self, root: Path) -> None:
        module = _module(root)
        mapping = getattr(module, "NODE_CLASS_MAPPINGS", None)
        if mapping is None and hasattr(module, "comfy_entrypoint"):
            found = finish(_node_list(module.comfy_entrypoint))
        else:
            found = list((mapping or {}).values())
        if not found or not all(isinstance(node, type) and issubclass(node, ComfyNode) for node in found):
            raise HostError(f"{root} gives no V3 nodes (comfy_entrypoint); older packs need ComfyUI")
        for node in found:
            self.add(node)
            self.packs[node.GET_SCHEMA().node_id] = root


def default_registry(packs: Iterable[str | Path] | None = None) -> Registry:
    """Stock nodes and the packs in `packs`; without them the pack this host came with."""
    registry = Registry()
    fill(registry, pack_folders(packs))
    return registry


def pack_folders(packs: Iterable[str | Path] | None) -> list[Path]:
    """Folders of `packs`; without them that of the pack this host came with."""
    return [OWN_PACK] if packs is None else [Path(pack).resolve() for pack in packs]


def fill(registry: Registry, folders: Iterable[Path]) -> None:
    """Adds the stock nodes and the nodes of the packs in `folders`, which takes seconds: packs import torch."""
    from .stock_nodes import STOCK_NODES

    comfy_api.install()
    for node in STOCK_NODES:
        registry.add(node)
    for folder in folders:
        registry.load_pack(folder)


def expanded(schema: Schema, values: Mapping[str, Any]) -> list[tuple[str, Input]]:
    """All inputs (dotted name, input) of a node with these values, in widget order, dynamic ones unfolded."""
    # The frontend lists required inputs before optional ones, whatever their order in the schema.
    return _unfold([(one.id, one) for one in sorted(schema.inputs, key=lambda one: one.optional)], values)


def _unfold(inputs: list[tuple[str, Input]], values: Mapping[str, Any]) -> list[tuple[str, Input]]:
    found: list[tuple[str, Input]] = []
    for path, one in inputs:
        found.append((path, one))
        if isinstance(one, DynamicInput):
            found += _unfold(one.expand(values, path), values)
    return found


def _module(root: Path) -> ModuleType:
    name = str(root).replace(".", "_x_")
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py")
    if spec is None or spec.loader is None:
        raise HostError(f"{root} cannot be loaded as a node pack")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


async def _node_list(entrypoint: Any) -> list[Any]:
    extension = entrypoint()
    if asyncio.iscoroutine(extension):
        extension = await extension
    await extension.on_load()
    return list(await extension.get_node_list())


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine to its end from ordinary code, also inside a notebook's running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Not asyncio.run, which answers Ctrl-C only where the work waits: a pack's imports never do.
        with contextlib.closing(asyncio.new_event_loop()) as loop:
            return loop.run_until_complete(work)
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(target,))
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
