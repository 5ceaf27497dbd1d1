"""Processes in the background give way to the one that trains, where the system knows such a thing."""

from __future__ import annotations

import os

from moviegen_core.train import background, data, rendered
from moviegen_core.train.clips import ClipConfig, Clips

CONFIG = ClipConfig(count=1, size=16, kinds=((1, 16, 1),))


def started(monkeypatch, folder):
    """What the first calls of a renderer and of a loader do."""
    monkeypatch.setattr(rendered, "_rendered", None)
    rendered._start(Clips, folder, CONFIG)
    data._be_nice(0)
    return rendered._rendered


def test_renderers_and_loaders_lower_their_priority(monkeypatch, tmp_path):
    lowered = []
    monkeypatch.setattr(os, "nice", lowered.append, raising=False)
    started(monkeypatch, tmp_path)
    assert lowered == [background.NICENESS] * 2


def test_renderers_and_loaders_start_where_no_priority_can_be_lowered(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "nice", raising=False)
    started(monkeypatch, tmp_path).render(0)
    assert not Clips(tmp_path, CONFIG).missing()
