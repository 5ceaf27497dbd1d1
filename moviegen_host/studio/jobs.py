"""The queue: prompts wait, one runs at a time in a thread of its own, finished ones are remembered."""

from __future__ import annotations

import io
import logging
import os
import threading
import time
import traceback
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from .. import session as sessions
from ..errors import Cancelled, HostError, Problem
from ..graph import Graph
from ..run import Host
from ..session import NodeEvent, Progress
from .events import Events

logger = logging.getLogger(__name__)

REMEMBERED = 200  # finished jobs
REPORT_EVERY = 0.05  # s between two progress messages
PACE_EVERY = 0.5  # s between two texts below a node
PENDING, RUNNING, COMPLETED, FAILED, CANCELLED = "pending", "in_progress", "completed", "failed", "cancelled"


@dataclass(eq=False)
class Job:
    """A prompt that was accepted. Times are milliseconds since 1970."""

    id: str
    number: float
    graph: Graph
    extra: dict[str, Any]
    page: str | None  # the browser page that asked
    status: str = PENDING
    created: int = field(default_factory=lambda: _now())
    started: int | None = None
    ended: int | None = None
    outputs: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: dict[str, Any] | None = None


class JobQueue:
    """Runs jobs in the order of their numbers with the executor of `host`."""

    def __init__(self, host: Host, events: Events) -> None:
        self.host, self.events = host, events
        self.waiting: list[Job] = []
        self.running: Job | None = None
        self.finished: OrderedDict[str, Job] = OrderedDict()
        self.number = 0
        self.using = threading.RLock()  # held while schemas are read or a graph is checked
        self._changed = threading.Condition()
        self._stopped = self._freeing = False
        self._progress: dict[str, dict[str, Any]] = {}
        self._node, self._reported = "", 0.0
        self._started = self._paced = 0.0  # of the node that runs: when it began, and when its pace was told last
        host.session.on_progress, host.session.on_node = self._on_progress, self._on_node
        self._thread = threading.Thread(target=self._work, name="studio", daemon=True)
        self._thread.start()

    def add(self, job: Job) -> None:
        """Puts a job into the queue."""
        with self._changed:
            self.waiting.append(job)
            self.waiting.sort(key=lambda one: one.number)
            self._changed.notify()
        self._status()

    def next_number(self, *, front: bool) -> int:
        """A place at the end of the queue, or before all others."""
        with self._changed:
            self.number += 1
            return -self.number if front else self.number

    def interrupt(self, job_id: str | None = None) -> bool:
        """Stops the running job, or only when it is the one named; True when it was there."""
        with self._changed:
            if self.running is None or job_id not in (None, self.running.id):
                return False
            self.host.cancel.set()
            return True

    def remove(self, job_ids: set[str] | None = None) -> bool:
        """Takes waiting jobs out of the queue, all or the named; True when there were any."""
        with self._changed:
            gone = [job for job in self.waiting if job_ids is None or job.id in job_ids]
            self.waiting = [job for job in self.waiting if job not in gone]
            for job in gone:
                job.status, job.ended = CANCELLED, _now()
                self._remember(job)
        self._status()
        return bool(gone)

    def forget(self, job_ids: set[str] | None = None) -> None:
        """Drops finished jobs from memory, all or the named; their files stay."""
        with self._changed:
            for key in list(self.finished) if job_ids is None else job_ids:
                self.finished.pop(key, None)

    def free(self) -> None:
        """Drops models and other results that are kept for the next job; a running job drops them at its end."""
        with self._changed:
            self._freeing = self.running is not None
            if not self._freeing:
                self.host.executor.forget()

    def find(self, job_id: str) -> Job | None:
        """A job by its id, whatever its state."""
        return next((job for job in self.all() if job.id == job_id), None)

    def all(self) -> list[Job]:
        """Every job that is known, the running one first, then those that wait, then finished ones, newest first."""
        with self._changed:
            running = [] if self.running is None else [self.running]
            return [*running, *self.waiting, *reversed(self.finished.values())]

    def stop(self) -> None:
        """Ends the thread; a running job is cancelled."""
        with self._changed:
            self._stopped = True
            self.waiting.clear()
            self.host.cancel.set()
            self._changed.notify()
        self._thread.join(timeout=10)

    def _remember(self, job: Job) -> None:
        self.finished[job.id] = job
        while len(self.finished) > REMEMBERED:
            self.finished.popitem(last=False)

    def _status(self) -> None:
        self.events.status(len(self.waiting) + (self.running is not None))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self.waiting and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                job = self.running = self.waiting.pop(0)
                self.host.cancel.clear()
                job.status, job.started = RUNNING, _now()
            self._status()
            try:
                self._run(job)
            finally:
                with self._changed:
                    job.ended, self.running = _now(), None
                    if self._freeing:
                        self._freeing = False
                        self.host.executor.forget()
                    self._remember(job)
                self._tell("executing", {"node": None}, job)
                self._status()

    def _run(self, job: Job) -> None:
        self._progress, self._node = {}, ""
        self.host.session.written.clear()
        self._tell("execution_start", {}, job)
        self._tell("execution_cached", {"nodes": []}, job)
        try:
            with sessions.active(self.host.session):
                self.host.executor.run(job.graph, self.host.session)
        except Cancelled:
            job.status = CANCELLED
            self._tell("execution_interrupted", self._place(job), job)
        except BaseException as error:  # a node's sys.exit() too ends its job only, not the queue
            job.status = FAILED
            job.error = {**self._failure(job, error), "prompt_id": job.id, "timestamp": _now()}
            self._tell("execution_error", job.error, job)
            asked = os.environ.get("MOVIEGEN_DEBUG") == "1"
            logger.warning("%s", job.error["exception_message"], exc_info=error if asked else None)
        else:
            job.status = COMPLETED
            self._tell("execution_success", {}, job)

    def _place(self, job: Job) -> dict[str, Any]:
        node = job.graph.nodes.get(self._node)
        return {
            "node_id": self._node,
            "node_type": "" if node is None else node.class_type,
            "executed": [key for key, state in self._progress.items() if state["state"] == "finished"],
        }

    def _failure(self, job: Job, error: BaseException) -> dict[str, Any]:
        cause = error
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, HostError):
            problem = error.problems[0]
            self._node = (isinstance(problem, Problem) and problem.node_id) or self._node
            cause = error.__cause__ or error
            text = "\n".join(error.problems)
        return {
            **self._place(job),
            "exception_message": text,
            "exception_type": type(cause).__name__,
            "traceback": traceback.format_exception(type(cause), cause, cause.__traceback__),
            "current_inputs": {},
            "current_outputs": [],
        }

    def _on_node(self, event: NodeEvent) -> None:
        job = self.running
        if job is None:
            return
        place = {"node": event.node_id, "display_node": event.node_id}
        if event.what == "started":
            self._node = event.node_id
            self._started = self._paced = time.monotonic()
            self._note(job, event.node_id, 0, 1, "running")
            self._tell("executing", place, job)
        else:
            last = self._progress.get(event.node_id, {})
            self._note(job, event.node_id, last.get("max", 1), last.get("max", 1), "finished")
            if event.what == "reused":
                self._tell("execution_cached", {"nodes": [event.node_id]}, job)
        self._report(job)
        if event.shown:
            job.outputs[event.node_id] = event.shown
            self._tell("executed", {**place, "output": event.shown}, job)

    def _on_progress(self, progress: Progress) -> None:
        job = self.running
        if job is None:
            return
        self._note(job, progress.node_id, progress.value, progress.maximum, "running")
        if progress.value >= progress.maximum or time.monotonic() - self._reported >= REPORT_EVERY:
            self._report(job)
            step = {"value": progress.value, "max": progress.maximum, "node": progress.node_id}
            self.events.publish("progress", {**step, "prompt_id": job.id}, job.page)
        self._tell_pace(progress, job)
        if progress.preview is not None and self.events.watched(job.page):
            picture = _jpeg(progress.preview)
            if picture is not None:
                self.events.preview(picture, self._names(job, progress.node_id), job.page)

    def _tell_pace(self, progress: Progress, job: Job) -> None:
        """Words below the node: how far it is, and how long it still takes, or took."""
        now, done = time.monotonic(), progress.value >= progress.maximum
        if not done and now - self._paced < PACE_EVERY:
            return
        self._paced, seconds = now, now - self._started
        text = f"{progress.value:g} of {progress.maximum:g}"
        if done:
            text += f" in {seconds:.0f} s"
        elif progress.value:
            text += f", {seconds * (progress.maximum - progress.value) / progress.value:.0f} s left"
        self.events.text(text, progress.node_id, job.page)

    def _note(self, job: Job, node_id: str, value: float, maximum: float, state: str) -> None:
        self._progress[node_id] = {"value": value, "max": maximum, "state": state, **self._names(job, node_id)}

    @staticmethod
    def _names(job: Job, node_id: str) -> dict[str, Any]:
        same = dict.fromkeys(("node_id", "display_node_id", "real_node_id"), node_id)
        return {**same, "parent_node_id": None, "prompt_id": job.id}

    def _report(self, job: Job) -> None:
        self._reported = time.monotonic()
        self.events.publish("progress_state", {"prompt_id": job.id, "nodes": dict(self._progress)}, job.page)

    def _tell(self, kind: str, data: dict[str, Any], job: Job) -> None:
        message = {**data, "prompt_id": job.id}
        if kind.startswith("execution_"):
            job.messages.append((kind, {**message, "timestamp": _now()}))
        self.events.publish(kind, message, job.page)


def _jpeg(preview: Any) -> bytes | None:
    """PIL picture or IMAGE tensor [B, H, W, C] -> JPEG of the first; None for anything else."""
    from PIL import Image

    if not isinstance(preview, Image.Image):
        if not hasattr(preview, "detach"):
            return None
        levels = preview[0].detach().float().cpu().nan_to_num(0.0).mul(255).clamp(0, 255).byte().numpy()
        preview = Image.fromarray(levels)
    stream = io.BytesIO()
    preview.convert("RGB").save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _now() -> int:
    return round(time.time() * 1000)
