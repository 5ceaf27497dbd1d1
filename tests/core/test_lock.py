"""One process at a time about a file, and no lock outlives its process."""

import subprocess
import sys

import pytest

from moviegen_core import lock
from moviegen_core.errors import CheckpointError


def test_who_does_not_wait_is_told_that_another_is_at_the_file(tmp_path):
    file = tmp_path / "film.mp4"
    with lock.at_once(file) as first, lock.at_once(file) as second, lock.at_once(tmp_path / "other.mp4") as third:
        assert (first, second, third) == (True, False, True)
    assert list(tmp_path.iterdir()) == []
    with lock.at_once(file) as later:
        assert later


def test_lock_of_a_killed_process_counts_as_free(tmp_path):
    code = "import sys, time; from pathlib import Path; from moviegen_core.lock import alone\n"
    code += "with alone(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    file = tmp_path / "manifest.json"
    holder = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(CheckpointError, match=r"locked for 0\.1 s by another process; wait"), lock.alone(file, 0.1):
        pass
    holder.kill()
    holder.wait()
    assert (tmp_path / ".manifest.json.lock").exists()
    with lock.alone(file, 0.1):
        pass
    assert list(tmp_path.iterdir()) == []
