"""Old names of our nodes and inputs, so that saved workflows of every version open."""

from __future__ import annotations

from typing import Any

from .sockets import ComfyAPI, io

# One entry a rename: new_node_id, old_node_id, old_widget_ids (all widgets of the old node, in order), input_mapping
# ({"new_id", "old_id"} or {"new_id", "set_value"}; every input that stays too) and output_mapping ({"new_idx",
# "old_idx"}). The old id must not be registered any more. Entries stay for good.
RENAMES: list[dict[str, Any]] = []


async def register(renames: list[dict[str, Any]]) -> None:
    """Tell the host about them; it rewrites prompts on the server and offers the change in the graph."""
    for rename in renames:
        await ComfyAPI().node_replacement.register(io.NodeReplace(**rename))
