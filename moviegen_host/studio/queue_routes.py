"""Routes that queue, stop and list jobs."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

from aiohttp import web

from .. import session as sessions
from ..errors import HostError, Problem
from ..graph import Graph
from .describe import describe, describe_all
from .events import Events
from .history import history_entry, job_details, job_summary, queue_entry
from .jobs import PENDING, RUNNING, Job, JobQueue

MOST_JOBS = 1000  # that may wait


class QueueRoutes:
    """Handlers over one queue."""

    def __init__(self, queue: JobQueue, events: Events) -> None:
        self.queue, self.events = queue, events

    def routes(self) -> list[web.RouteDef]:
        """Every route of this module."""
        return [
            web.get("/object_info", self.object_info),
            web.get("/object_info/{name}", self.one_object),
            web.get("/prompt", self.remaining),
            web.post("/prompt", self.submit),
            web.post("/interrupt", self.interrupt),
            web.post("/free", self.free),
            web.get("/queue", self.show_queue),
            web.post("/queue", self.change_queue),
            web.get("/history", self.history),
            web.post("/history", self.change_history),
            web.get("/history/{id}", self.one_history),
            web.get("/jobs", self.jobs),
            web.get("/jobs/{id}", self.one_job),
            web.post("/jobs/cancel", self.cancel_jobs),
            web.post("/jobs/{id}/cancel", self.cancel_one),
        ]

    async def object_info(self, request: web.Request) -> web.Response:
        """Every node type; lists of files are read anew."""
        return web.json_response(await asyncio.to_thread(self._described))

    async def one_object(self, request: web.Request) -> web.Response:
        """One node type, or nothing."""
        name = request.match_info["name"]
        described = await asyncio.to_thread(self._described, name)
        return web.json_response(described)

    def _described(self, name: str | None = None) -> dict[str, Any]:
        registry = self.queue.host.registry
        with self.queue.using, sessions.active(self.queue.host.session):
            registry.refresh()
            if name is None:
                return describe_all(registry)
            return {name: describe(registry, name)} if name in registry.nodes else {}

    async def remaining(self, request: web.Request) -> web.Response:
        """How many jobs are left."""
        return web.json_response({"exec_info": {"queue_remaining": self.events.remaining}})

    async def submit(self, request: web.Request) -> web.Response:
        """Checks a prompt and queues it; 400 names the problems of each node."""
        body = await _body(request)
        prompt = body.get("prompt")
        extra: dict[str, Any] = body["extra_data"] if isinstance(body.get("extra_data"), dict) else {}
        if not isinstance(prompt, dict):
            return _refused("no_prompt", "the request holds no prompt; send {'prompt': {...}}", {})
        info = extra.get("extra_pnginfo") or {}
        if not isinstance(info, dict) or not isinstance(info.get("workflow") or {}, dict):
            return _refused("invalid_prompt", "extra_pnginfo must be {'workflow': {...}}; send objects, not text", {})
        if len(self.queue.waiting) >= MOST_JOBS:
            return _refused("queue_full", f"{MOST_JOBS} jobs wait already; let some finish", {})
        try:
            graph = await asyncio.to_thread(self._checked, prompt, extra, body.get("partial_execution_targets"))
        except HostError as error:
            return _refused("prompt_outputs_failed_validation", str(error.problems[0]), _by_node(error, prompt))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            return _refused("invalid_prompt", f"this is no prompt of a workflow: {type(error).__name__} {error}", {})
        number = self.queue.next_number(front=body.get("front") is True)
        page = body.get("client_id") if isinstance(body.get("client_id"), str) else None
        job_id = str(body.get("prompt_id") or uuid.uuid4())
        job = Job(job_id, number, graph, extra, page)
        self.queue.add(job)
        return web.json_response({"prompt_id": job.id, "number": job.number, "node_errors": {}})

    def _checked(self, prompt: dict[str, Any], extra: dict[str, Any], targets: Any) -> Graph:
        host = self.queue.host
        with self.queue.using:
            # Under the key "prompt" the nodes cannot be taken for a workflow file, whatever their ids.
            graph = host.checked({"prompt": prompt}, targets=[str(one) for one in targets] if targets else None)
        return replace(graph, document=(extra.get("extra_pnginfo") or {}).get("workflow"))

    async def interrupt(self, request: web.Request) -> web.Response:
        """Stops the running job."""
        body = await _body(request)
        self.queue.interrupt(body.get("prompt_id"))
        return web.Response()

    async def free(self, request: web.Request) -> web.Response:
        """Frees the memory of models and results that wait for the next job."""
        self.queue.free()
        return web.Response()

    async def show_queue(self, request: web.Request) -> web.Response:
        """What runs and waits."""
        jobs = self.queue.all()
        kinds = {"queue_running": RUNNING, "queue_pending": PENDING}
        return web.json_response({k: [queue_entry(j) for j in jobs if j.status == s] for k, s in kinds.items()})

    async def change_queue(self, request: web.Request) -> web.Response:
        """Clears waiting jobs, or deletes some."""
        body = await _body(request)
        if body.get("clear"):
            self.queue.remove()
        if isinstance(body.get("delete"), list):
            self.queue.remove(set(map(str, body["delete"])))
        return web.Response()

    async def history(self, request: web.Request) -> web.Response:
        """Finished jobs by id."""
        most = _whole(request, "max_items", 10**9)
        done = [job for job in self.queue.all() if job.ended is not None]
        return web.json_response({job.id: history_entry(job) for job in done[:most]}, dumps=_dumps)

    async def one_history(self, request: web.Request) -> web.Response:
        """One finished job."""
        job = self.queue.find(request.match_info["id"])
        return web.json_response({} if job is None or job.ended is None else {job.id: history_entry(job)}, dumps=_dumps)

    async def change_history(self, request: web.Request) -> web.Response:
        """Forgets finished jobs; their files stay."""
        body = await _body(request)
        if body.get("clear"):
            self.queue.forget()
        if isinstance(body.get("delete"), list):
            self.queue.forget(set(map(str, body["delete"])))
        return web.Response()

    async def jobs(self, request: web.Request) -> web.Response:
        """A page of the job list."""
        wanted = [one for one in request.query.get("status", "").split(",") if one]
        found = [job for job in self.queue.all() if not wanted or job.status in wanted]
        found.sort(key=lambda job: job.created, reverse=request.query.get("sort_order", "desc") != "asc")
        offset, limit = _whole(request, "offset", 0), _whole(request, "limit", 200)
        page = found[offset : offset + limit]
        rest = {"offset": offset, "limit": limit, "total": len(found), "has_more": offset + limit < len(found)}
        return web.json_response({"jobs": [job_summary(job) for job in page], "pagination": rest}, dumps=_dumps)

    async def one_job(self, request: web.Request) -> web.Response:
        """All about one job."""
        job = self.queue.find(request.match_info["id"])
        if job is None:
            return web.json_response({"error": "there is no such job"}, status=404)
        return web.json_response(job_details(job), dumps=_dumps)

    async def cancel_one(self, request: web.Request) -> web.Response:
        """Stops or removes one job."""
        return web.json_response({"cancelled": self._cancel([request.match_info["id"]])})

    async def cancel_jobs(self, request: web.Request) -> web.Response:
        """Stops or removes several jobs."""
        ids = (await _body(request)).get("job_ids")
        if not isinstance(ids, list):
            return web.json_response({"error": "job_ids must be a list of ids"}, status=400)
        return web.json_response({"cancelled": self._cancel(ids)})

    def _cancel(self, ids: list[Any]) -> bool:
        names = {str(one) for one in ids}
        # In this order: a job that begins meanwhile is no longer there to remove, but there to stop.
        removed = self.queue.remove(names)
        stopped = [self.queue.interrupt(name) for name in names]
        return removed or any(stopped)


def _by_node(error: HostError, prompt: dict[str, Any]) -> dict[str, Any]:
    """Problems in the shape the frontend draws on its nodes."""
    found: dict[str, Any] = {}
    for problem in error.problems:
        if not isinstance(problem, Problem) or problem.node_id not in prompt:
            continue
        kind = prompt[problem.node_id].get("class_type", "")
        entry = found.setdefault(problem.node_id, {"class_type": kind, "dependent_outputs": [], "errors": []})
        about = {} if problem.input_name is None else {"input_name": problem.input_name}
        missing = "is not connected" in problem
        entry["errors"].append(
            {
                "type": "required_input_missing" if missing else "value_not_valid",
                "message": str(problem),
                "details": problem.input_name or "",
                "extra_info": about,
            }
        )
    return found


def _refused(kind: str, message: str, node_errors: dict[str, Any]) -> web.Response:
    error = {"type": kind, "message": message, "details": "", "extra_info": {}}
    return web.json_response({"error": error, "node_errors": node_errors}, status=400)


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="the request is no JSON") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the request must be a JSON object")
    return body


def _whole(request: web.Request, name: str, default: int) -> int:
    try:
        return max(0, int(request.query.get(name, default)))
    except ValueError:
        raise web.HTTPBadRequest(text=f"{name} must be a whole number") from None


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)
