"""Files appear whole or not at all; what could not be written is known before the work."""

from __future__ import annotations

from pathlib import Path

from moviegen_core.files import in_the_way


def test_what_could_be_written_has_nothing_in_the_way_and_leaves_no_trace(tmp_path):
    assert in_the_way(tmp_path / "film.mp4") is None
    assert in_the_way(tmp_path / "new" / "folder" / "film.mp4") is None
    assert list(tmp_path.iterdir()) == []


def test_file_in_place_of_a_folder_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    assert in_the_way(tmp_path / "file" / "film.mp4") == tmp_path / "file"


def test_folder_that_takes_no_files_is_in_the_way_even_of_those_who_may_write_everywhere(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(path)

    monkeypatch.setattr(Path, "touch", refuse)
    assert in_the_way(tmp_path / "new" / "film.mp4") == tmp_path
