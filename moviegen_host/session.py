"""The run in progress, as nodes see it: folders, progress, cancel, written files."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Cancelled, HostError

NUMBERING_SECONDS = 600.0  # that another process may take to write many pictures


@dataclass(frozen=True)
class Progress:
    """One report of a node: `value` of `maximum` done, perhaps with a preview picture."""

    node_id: str
    title: str
    value: float
    maximum: float
    preview: Any = None  # PIL.Image or IMAGE tensor [B, H, W, C] in 0..1


@dataclass(frozen=True)
class NodeEvent:
    """A node began ("started"), ended ("done"), or its last result was good ("reused"); `shown` is what it shows."""

    node_id: str
    what: str
    shown: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Session:
    """Folders and callbacks of one or more runs. `cancel` may be set from any thread.

    A `confined` session reads files in its own folders only: its workflows come from a browser.
    """

    output_directory: Path = Path("output")
    input_directory: Path = Path(".")
    on_progress: Callable[[Progress], None] | None = None
    on_node: Callable[[NodeEvent], None] | None = None
    confined: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)
    written: list[Path] = field(default_factory=list)  # files under output_directory, in order
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def temp_directory(self) -> Path:
        """A folder for previews; removed with the session."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="moviegen_")
        return Path(self._temporary.name)

    def report(self, value: float, maximum: float, node_id: str | None = None, preview: Any = None) -> None:
        """Passes a node's progress on; raises Cancelled when the run was stopped."""
        self.check_cancelled()
        running, title = _node.get()
        if self.on_progress is not None:
            self.on_progress(Progress(node_id or running, title, value, maximum, preview))

    def note(self, event: NodeEvent) -> None:
        """Passes on that a node began or ended."""
        if self.on_node is not None:
            self.on_node(event)

    def check_cancelled(self) -> None:
        """Raises Cancelled when the run was stopped."""
        if self.cancel.is_set():
            raise Cancelled("the run was stopped")

    def input_file(self, name: str) -> Path:
        """A file chosen in a load node: relative to the input folder, `name [output]`, or any path of this machine."""
        match = re.fullmatch(r"(.*) \[(input|output|temp)\]", name)
        folder = self.input_directory
        if match:
            name = match[1]
            folder = {"output": self.output_directory, "temp": self.temp_directory}.get(match[2], folder)
        path = folder / name
        if self.confined and folder.resolve() not in path.resolve().parents:
            raise HostError(f"the file {name!r} is outside the {folder.name} folder; upload it instead")
        return path

    @contextmanager
    def new_files(
        self, prefix: str, ending: str, *, folder: str = "output", width: int = 0, height: int = 0, count: int = 1
    ) -> Iterator[list[Path]]:
        """`count` unused file names `<prefix>_00001<ending>` that follow the highest number in the folder.

        They are for the block to write: no other process is given them meanwhile.
        """
        from moviegen_core.lock import alone
        from moviegen_core.media.files import write_error

        target = self.target(prefix, folder, width, height)
        with ExitStack() as held:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with ExitStack() as choosing:
                    choosing.enter_context(alone(target, NUMBERING_SECONDS))
                    first = _next_number(target)
                    paths = [target.with_name(f"{target.name}_{first + index:05}{ending}") for index in range(count)]
                    # Of many files each is not locked for itself: whoever wants numbers waits.
                    held.enter_context(alone(paths[0]) if count == 1 else choosing.pop_all())
            except OSError as error:
                raise write_error(target, error) from error
            yield paths

    def target(self, prefix: str, folder: str = "output", width: int = 0, height: int = 0) -> Path:
        """A node's file name prefix, with %date% and other marks filled in, as a path; HostError outside the folder."""
        root = self.temp_directory if folder == "temp" else self.output_directory
        now = time.localtime()
        marks = {"width": width, "height": height, "year": now.tm_year, "month": f"{now.tm_mon:02}"}
        marks |= {"day": f"{now.tm_mday:02}", "hour": f"{now.tm_hour:02}"}
        marks |= {"minute": f"{now.tm_min:02}", "second": f"{now.tm_sec:02}"}
        for mark, value in marks.items():
            prefix = prefix.replace(f"%{mark}%", str(value))
        target = root / prefix
        if not target.name or root.resolve() not in target.resolve().parents:
            raise HostError(f"the file name prefix {prefix!r} leaves the output folder; use a plain name")
        return target


def _next_number(target: Path) -> int:
    """One more than the highest among files `<target>_<number>...`, those included that others are about to write."""
    pattern = re.compile(r"\.?" + re.escape(target.name) + r"_(\d+)_?\.[^.]+(\.lock)?")
    numbers = [int(match[1]) for file in target.parent.iterdir() if (match := pattern.fullmatch(file.name))]
    return max(numbers, default=0) + 1


_session: ContextVar[Session | None] = ContextVar("moviegen_session", default=None)
_node: ContextVar[tuple[str, str]] = ContextVar("moviegen_node", default=("", ""))


def current() -> Session:
    """The session of this run; a plain one when a node is called on its own."""
    session = _session.get()
    if session is None:
        session = Session()
        _session.set(session)
    return session


@contextmanager
def active(session: Session) -> Iterator[Session]:
    """Makes `session` the current one inside the block."""
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)


@contextmanager
def running(node_id: str, title: str) -> Iterator[None]:
    """Names the node whose progress is reported inside the block."""
    token = _node.set((node_id, title))
    try:
        yield
    finally:
        _node.reset(token)
