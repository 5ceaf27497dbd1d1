"""The judge's own bench."""

import pytest

from moviegen_core.errors import ConfigError
from moviegen_core.evaluate import judge


def test_no_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        judge.evaluate(tmp_path, clips=0)
