"""Stand-in for `comfy_api.latest`, so that a V3 node pack runs where no ComfyUI is installed.

`install()` puts it into `sys.modules` as `comfy_api`, `comfy_api.latest` and `comfy_api.v0_0_2`. Supported:

- `io`: ComfyNode (define_schema, execute sync or async, validate_inputs, fingerprint_inputs, check_lazy_status, `cls.hidden`),
  Schema, NodeOutput (values, ui, block_execution), Hidden, FolderType, UploadType, NumberDisplay, ControlAfterGenerate, NodeReplace,
  Input, WidgetInput, Output, Custom, comfytype; types Boolean Int Float String Combo MultiCombo Image Mask Latent Conditioning Model
  Clip Vae ModelPatch Sampler Sigmas Noise Guider Audio Video ClipVision ClipVisionOutput AudioEncoder AudioEncoderOutput ControlNet
  UpscaleModel LoraModel Tracks Dict Array AnyType; MultiType, MatchType, Autogrow, DynamicCombo. Not: expand, remote options, 3-D types.
- `ui`: SavedResult, SavedImages, SavedAudios, PreviewImage, PreviewMask, PreviewAudio, PreviewVideo, PreviewText, ImageSaveHelper,
  AudioSaveHelper (FLAC); `ui.SavedResult` files in the output folder count as written by the run.
- ComfyExtension; ComfyAPI (async) and ComfyAPISync: `execution.set_progress(value, max_value, node_id, preview_image)` reports to the
  host, and raises when the run was cancelled; `node_replacement.register` (used when a workflow names the old id).
- Input.{Video, Image, Audio, Mask, Latent}, InputImpl.{VideoFromFile, VideoFromComponents}, Types.{VideoComponents, VideoContainer,
  VideoCodec}. `IO` and `UI` are `io` and `ui`.
"""  # noqa: E501

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from . import io, session, ui, video
from .errors import HostError

replacements: dict[str, io.NodeReplace] = {}  # by old node id


class ComfyExtension:
    """What a pack's `comfy_entrypoint` returns."""

    async def on_load(self) -> None:
        """Called once, before the node list is asked for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The pack's node classes."""
        raise NotImplementedError


class ComfyAPISync:
    """Calls from a node to the host."""

    class Execution:
        """The node's own run."""

        def set_progress(
            self,
            value: float,
            max_value: float,
            node_id: str | None = None,
            preview_image: Any = None,
            ignore_size_limit: bool = False,
        ) -> None:
            """Reports progress, perhaps with a picture (PIL or IMAGE tensor); raises Cancelled after a cancel."""
            session.current().report(value, max_value, node_id, preview_image)

    class NodeReplacement:
        """Old node ids that this pack still understands."""

        def register(self, node_replace: io.NodeReplace) -> None:
            """Adds one rule."""
            replacements[node_replace.old_node_id] = node_replace

    def __init__(self) -> None:
        self.execution: Any = self.Execution()
        self.node_replacement: Any = self.NodeReplacement()


class ComfyAPI(ComfyAPISync):
    """The same calls for async nodes."""

    class Execution(ComfyAPISync.Execution):
        """The node's own run."""

        async def set_progress(self, *arguments: Any, **options: Any) -> None:  # type: ignore[override]
            """Reports progress, as the sync call does."""
            super().set_progress(*arguments, **options)

    class NodeReplacement(ComfyAPISync.NodeReplacement):
        """Old node ids that this pack still understands."""

        async def register(self, node_replace: io.NodeReplace) -> None:  # type: ignore[override]
            """Adds one rule."""
            super().register(node_replace)


class Input:
    """Types of values on sockets, for annotations."""

    Image = Audio = Mask = Latent = Any
    Video = video.VideoInput


class InputImpl:
    """Ways to make a VIDEO."""

    VideoFromFile = video.VideoFromFile
    VideoFromComponents = video.VideoFromComponents


class Types:
    """Parts and formats of a VIDEO."""

    VideoComponents = video.VideoComponents
    VideoContainer = video.VideoContainer
    VideoCodec = video.VideoCodec


def install() -> None:
    """Makes `comfy_api.latest` importable; HostError where a real ComfyUI is, since nodes would mix both."""
    loaded = sys.modules.get("comfy_api")
    if loaded is not None and getattr(loaded, "stand_in", False):
        return
    if loaded is not None or importlib.util.find_spec("comfy_api") is not None:
        raise HostError(
            "a real ComfyUI is importable in this process; queue the workflow there, or run without it on PYTHONPATH"
        )
    package = ModuleType("comfy_api", "Stand-in for ComfyUI's node API.")
    package.__path__ = []
    package.stand_in = True  # type: ignore[attr-defined]
    sys.modules["comfy_api"] = package
    names = {
        "io": io,
        "IO": io,
        "ui": ui,
        "UI": ui,
        "ComfyExtension": ComfyExtension,
        "ComfyAPI": ComfyAPI,
        "ComfyAPISync": ComfyAPISync,
        "Input": Input,
        "InputImpl": InputImpl,
        "Types": Types,
    }
    for version in ("latest", "v0_0_2"):
        module = ModuleType(f"comfy_api.{version}", __doc__)
        module.__dict__.update(names)
        sys.modules[module.__name__] = module
        setattr(package, version, module)
