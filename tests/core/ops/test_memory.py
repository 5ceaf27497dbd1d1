import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from moviegen_core.ops.memory import keep_large_buffers

if sys.argv[1] == "keep" and not keep_large_buffers():
    sys.exit("no mallopt")
rounds = []
for _ in range(8):  # the heap grows for a few rounds until it fits
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.ones(2**23) for _ in range(4)]
    rounds.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(rounds[1:]))
"""


def page_faults(mode):
    result = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=False)
    if "no mallopt" in result.stderr:
        pytest.skip("this C library has no mallopt")
    return int(result.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the setting is glibc's")
def test_freed_buffers_are_used_again_with_far_fewer_page_faults():
    assert page_faults("keep") < page_faults("default") / 2
