"""Jobs in the shapes in which the frontend reads them: /jobs, /history and /queue."""

from __future__ import annotations

from typing import Any

from .jobs import COMPLETED, PENDING, RUNNING, Job

SHOWN_AS = frozenset({"images", "video", "audio", "text"})


def job_summary(job: Job) -> dict[str, Any]:
    """One line of the job list."""
    files = _files(job)
    preview = next((one for one in files if one["type"] == "output"), files[0] if files else None)
    summary = {
        "id": job.id,
        "status": job.status,
        "priority": job.number,
        "create_time": job.created,
        "execution_start_time": job.started,
        "execution_end_time": job.ended,
        "execution_error": job.error,
        "outputs_count": len(files),
        "previewable_outputs_count": len(files),
        "preview_output": preview,
        "workflow_id": ((job.extra.get("extra_pnginfo") or {}).get("workflow") or {}).get("id"),
    }
    return {key: value for key, value in summary.items() if value is not None}


def job_details(job: Job) -> dict[str, Any]:
    """Everything about one job."""
    workflow = {"prompt": job.graph.prompt, "extra_data": job.extra}
    return {**job_summary(job), "outputs": job.outputs, "execution_status": _status(job), "workflow": workflow}


def history_entry(job: Job) -> dict[str, Any]:
    """A finished job, as /history gives it."""
    names = {node_id: dict.fromkeys(("node_id", "display_node", "real_node_id"), node_id) for node_id in job.outputs}
    meta = {key: {**value, "parent_node": None} for key, value in names.items()}
    return {"prompt": queue_entry(job), "outputs": job.outputs, "status": _status(job), "meta": meta}


def queue_entry(job: Job) -> list[Any]:
    """A job, as /queue gives it."""
    return [job.number, job.id, job.graph.prompt, {**job.extra, "create_time": job.created}, job.graph.outputs]


def _status(job: Job) -> dict[str, Any]:
    done = job.status == COMPLETED
    text = {COMPLETED: "success", PENDING: "", RUNNING: ""}.get(job.status, "error")
    return {"status_str": text, "completed": done, "messages": job.messages}


def _files(job: Job) -> list[dict[str, Any]]:
    return [
        {"mediaType": kind, "nodeId": node_id, **item}
        for node_id, shown in job.outputs.items()
        for kind, items in shown.items()
        if kind in SHOWN_AS
        for item in items
        if isinstance(item, dict)
    ]
