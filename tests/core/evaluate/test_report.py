"""What benches leave behind."""

from __future__ import annotations

import json

import pytest

from moviegen_core.evaluate.report import percent, write_report


def test_figures_and_table_take_the_name_of_their_bench(tmp_path):
    write_report(tmp_path / "new", "codec", {"clips": 3}, "| é |")
    write_report(tmp_path / "new", "judge", {"clips": 4})
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["codec.json", "codec.md", "judge.json"]
    assert json.loads((tmp_path / "new" / "codec.json").read_text()) == {"clips": 3}
    assert (tmp_path / "new" / "codec.md").read_text("utf-8") == "| é |"


def test_report_that_cannot_be_written_leaves_the_last_one(tmp_path):
    write_report(tmp_path, "codec", {"clips": 3}, "good")
    with pytest.raises(UnicodeEncodeError):
        write_report(tmp_path, "codec", {"clips": 3}, "half \ud800")
    assert (tmp_path / "codec.md").read_text() == "good"
    assert len(list(tmp_path.iterdir())) == 2


def test_number_that_is_not_finite_is_null(tmp_path):
    write_report(tmp_path, "codec", {"snr": float("inf"), "rows": [float("nan"), {"snr": 1.5}]})
    assert json.loads((tmp_path / "codec.json").read_text()) == {"snr": None, "rows": [None, {"snr": 1.5}]}


def test_share_of_nothing_is_a_dash():
    assert [percent(share) for share in (0.5, 1.0, float("nan"))] == ["50.0%", "100.0%", "-"]
