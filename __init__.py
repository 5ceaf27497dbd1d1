"""ComfyUI-MovieGen: the node pack as ComfyUI, or moviegen_host, loads it.

Nothing heavy is imported at load: hosts name this module by its path, tests import it by accident.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


def publish_core() -> None:
    """Make `import moviegen_core` find the folder beside this file, without touching sys.path.

    A pack is loaded as a module named by its path: a relative import of the core would give every class a
    second identity, and the pack's root on sys.path would let its `nodes` folder hide ComfyUI's own module.
    """
    folder = Path(__file__).resolve().parent / "moviegen_core"
    loaded = sys.modules.get("moviegen_core")
    if loaded is not None:
        if Path(str(loaded.__file__)).resolve().parent != folder:
            raise ImportError(f"moviegen_core is already loaded from {loaded.__file__}; keep one copy of this pack")
        return
    spec = importlib.util.spec_from_file_location(
        "moviegen_core", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is missing; install the whole pack, not only its nodes")
    module = importlib.util.module_from_spec(spec)
    sys.modules["moviegen_core"] = module
    spec.loader.exec_module(module)


async def comfy_entrypoint():
    """The extension with every node; ComfyUI awaits this once at start."""
    publish_core()
    from .nodes.catalog import MovieGenExtension

    return MovieGenExtension()
