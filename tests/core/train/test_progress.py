"""metrics.jsonl holds one JSON object a line, whatever the numbers are."""

from __future__ import annotations

import io
import json

import torch

from moviegen_core.train.progress import Progress


def read(file):
    """The lines of a file, by the letter of JSON: without NaN and infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in file.read_text().splitlines()]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    out = io.StringIO()
    progress = Progress("tiny", tmp_path / "metrics.jsonl", 0.0, out)
    for step, value in enumerate((float("nan"), float("inf"), 2.0), 1):
        progress.add({"loss": torch.tensor(value)}, 4)
        progress.tick(step, 0.1, 1.0)
    assert [row["loss"] for row in read(progress.metrics)] == [None, None, 2.0]
    assert "loss nan" in out.getvalue()
    progress.rewind(2)
    assert [(row["step"], row["loss"]) for row in read(progress.metrics)] == [(1, None), (2, None)]
