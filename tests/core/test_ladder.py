"""Imports go down the ladder only (AGENTS.md); lazy imports inside functions count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
RUNGS = {
    name: rung
    for rung, names in enumerate(
        (
            "errors",  # everything may raise them, its neighbours too
            "files lock memory",
            "shapes config devices weights",
            "ops flow",
            "media",  # joins films with the blends of ops
            "layers",
            "models",
            "conditioning",
            "pipelines",
            "toybox",  # below evaluate, whose benches measure the models on this world
            "evaluate",
            "train",
            "cli",
        )
    )
    for name in names.split()
}
COMFYUI = {"comfy", "comfy_api", "comfy_api_nodes", "comfy_execution", "comfy_extras", "execution", "folder_paths"}
COMFYUI |= {"latent_preview", "server", "nodes"}


class Import(NamedTuple):
    """One import: dotted module ("importlib:x" for a literal import_module); `lazy`: inside a function."""

    line: int
    module: str
    relative: bool
    lazy: bool


def imports(path: Path, root: Path) -> Iterator[Import]:
    """Every import of a file, wherever it stands.

    `from a import b` gives a.b when the tree holds such a module or package, else a.
    """
    package = path.relative_to(root).parts[:-1]
    for node, lazy in walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, False, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            parts = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                inner = root.joinpath(*parts, alias.name)
                is_module = bool(parts) and (inner.is_dir() or inner.with_suffix(".py").is_file())
                name = ".".join((*parts, alias.name) if is_module or not parts else parts)
                if name == "moviegen_core" and alias.name != "__version__":
                    name = f"moviegen_core.{alias.name}"
                yield Import(node.lineno, name, node.level > 0, lazy)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in {"import_module", "__import__", "run_module"} and isinstance(node.args[0].value, str):
                yield Import(node.lineno, f"importlib:{node.args[0].value}", False, lazy)


def walk(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `node`, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        yield child, inside
        yield from walk(child, inside)


def core_violation(path: tuple[str, ...], module: str) -> str | None:
    """Why a file of moviegen_core (path below it, without suffix) may not import `module`; None if it may."""
    top = module.removeprefix("importlib:").split(".")[0]
    if top in COMFYUI:
        return "the core does not know ComfyUI"
    if top == "moviegen_host":
        lazy_in_cli = module.startswith("importlib:") and path[0] == "cli"
        return None if lazy_in_cli else "only cli reaches the host, through importlib"
    target = module.split(".")
    if target[0] != "moviegen_core" or len(target) == 1:
        return None
    source_name, target_name = path[0], target[1]
    if source_name == "__init__":
        return None
    for name in (source_name, target_name):
        if name not in RUNGS:
            return f"{name} has no place on the ladder"
    if source_name == target_name:
        return models_violation(path, target[1:]) if source_name == "models" else None
    if RUNGS[target_name] < RUNGS[source_name]:
        return None
    word = "beside" if RUNGS[target_name] == RUNGS[source_name] else "above"
    return f"{target_name} stands {word} {source_name}"


def models_violation(path: tuple[str, ...], target: list[str]) -> str | None:
    """Inside models/: networks do not import each other, and only catalog.py knows them all."""
    source = path[1] if len(path) > 2 else None
    network = target[1] if len(target) > 1 and target[1] not in {"loading", "catalog"} else None
    if source is None:
        return None if network is None or path[1] == "catalog" else "only catalog.py knows the networks"
    if target[1:2] == ["catalog"]:
        return "a network does not know the catalog"
    return None if network in (None, source) else f"network {source} must not know network {network}"


def violation(folder: str, inside: tuple[str, ...], found: Import) -> str | None:
    """Why a file of a top folder ("" is the pack itself) may not have this import; None if it may."""
    top = found.module.removeprefix("importlib:").split(".")[0]
    if folder == "":
        ours = COMFYUI | {"moviegen_core", "moviegen_host", "torch"}
        return "the pack imports this at load" if top in ours and not found.lazy else None
    if found.relative and top != folder:
        return "a relative import leaves its folder"
    if folder == "moviegen_core":
        return core_violation(inside, found.module)
    if folder == "moviegen_host" and (top == "nodes" or (top == "moviegen_core" and not found.lazy)):
        return "the host loads the pack by path"
    if folder == "nodes" and top == "moviegen_host":
        return "nodes do not know the host"
    return "nothing imports nodes" if folder in {"scripts", "benchmarks"} and top == "nodes" else None


def violations(root: Path) -> list[str]:
    """Every broken rule below `root`, as "file:line module: why"."""
    files = [("", path) for path in (root / "__init__.py",) if path.is_file()]
    for folder in ("moviegen_core", "moviegen_host", "nodes", "scripts", "benchmarks"):
        files += [(folder, path) for path in sorted((root / folder).rglob("*.py"))]
    lines = []
    for folder, path in files:
        inside = path.relative_to(root / folder).with_suffix("").parts
        for found in imports(path, root):
            why = violation(folder, inside, found)
            if why:
                lines.append(f"{path.relative_to(root).as_posix()}:{found.line} {found.module}: {why}")
    return list(dict.fromkeys(lines))


def test_every_import_of_the_project_goes_down_the_ladder():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "code", "why"),
    [
        ("moviegen_core/flow/path.py", "from ..layers import norm", "layers stands above flow"),
        ("moviegen_core/flow/path.py", "from moviegen_core.ops import patchify", "ops stands beside flow"),
        ("moviegen_core/ops/a.py", "def f():\n    from ..models.tae import model", "models stands above ops"),
        ("moviegen_core/errors.py", "from . import shapes", "shapes stands above errors"),
        ("moviegen_core/shapes.py", "from .config import to_dict", "config stands beside shapes"),
        ("moviegen_core/ops/a.py", "from .. import MovieGenPipeline", "has no place on the ladder"),
        ("moviegen_core/helpers.py", "from .errors import MovieGenError", "helpers has no place on the ladder"),
        ("moviegen_core/models/tae/model.py", "from ..video_dit import model", "must not know network video_dit"),
        ("moviegen_core/models/tae/model.py", "from ..catalog import NETWORKS", "does not know the catalog"),
        ("moviegen_core/models/loading.py", "from .tae.model import TAE", "only catalog.py knows"),
        ("moviegen_core/train/loop.py", "import comfy.utils", "does not know ComfyUI"),
        ("moviegen_core/train/loop.py", "import importlib\nimportlib.import_module('nodes')", "does not know ComfyUI"),
        ("moviegen_core/pipelines/a.py", "import moviegen_host", "only cli reaches the host"),
        ("moviegen_core/cli/run.py", "from moviegen_host import graph", "only cli reaches the host"),
        ("moviegen_host/executor.py", "from moviegen_core import errors", "loads the pack by path"),
        ("moviegen_host/executor.py", "def f():\n    import nodes", "loads the pack by path"),
        ("nodes/video.py", "from ..moviegen_core import flow", "leaves its folder"),
        ("nodes/video.py", "import moviegen_host.graph", "nodes do not know the host"),
        ("scripts/demo.py", "import nodes", "nothing imports nodes"),
        ("__init__.py", "from .nodes import video", "the pack imports this at load"),
        ("__init__.py", "import moviegen_core", "the pack imports this at load"),
    ],
)
def test_broken_rung_is_found(tmp_path, file, code, why):
    plant(tmp_path, file, code)
    found = violations(tmp_path)
    assert len(found) == 1
    assert why in found[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (
            "moviegen_core/pipelines/movie.py",
            "from ..media import movie\nfrom .decode import decode_video\nimport torch",
        ),
        ("moviegen_core/models/catalog.py", "from .tae.model import TAE\nfrom .video_dit.model import VideoDiT"),
        ("moviegen_core/models/tae/model.py", "from ..loading import save\nfrom .presets import NANO"),
        ("moviegen_core/models/loading.py", "from . import catalog"),
        (
            "moviegen_core/cli/run.py",
            "import importlib\nimportlib.import_module('moviegen_host')",
        ),
        (
            "nodes/video.py",
            "from comfy_api.latest import io\nfrom moviegen_core import flow\nfrom . import convert",
        ),
    ],
)
def test_import_down_the_ladder_is_allowed(tmp_path, file, code):
    plant(tmp_path, file, code)
    assert violations(tmp_path) == []


def plant(root: Path, file: str, code: str) -> None:
    """Write one file into a small copy of the project's folders."""
    for module in (
        "errors",
        "shapes",
        "config",
        "layers/norm",
        "media/movie",
        "models/tae/model",
        "models/video_dit/model",
    ):
        path = root / "moviegen_core" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for module in ("models/catalog", "models/loading"):
        (root / "moviegen_core" / f"{module}.py").touch()
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(code, encoding="utf-8")


@pytest.mark.parametrize("module", ["moviegen_core", "moviegen_core.shapes", "moviegen_core.cli"])
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print(*{{'torch', 'transformers', 'av', 'numpy', 'PIL'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_core_submodules_leave_transformers_and_av_for_later():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("ops", "flow", "media", "layers", "models", "conditioning", "pipelines")
        for path in sorted((ROOT / "moviegen_core" / folder).rglob("*.py"))
    ]
    code = f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    code += "print(*{'transformers', 'av', 'diffusers'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
