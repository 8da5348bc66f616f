"""The process that reads files starts with what embed_fn's own lock installs."""

import subprocess
import sys

# Only tests have it: embed_fn's lock does not name it, and images do not hold it.
WITHOUT_PILLOW = """
import sys
sys.modules["PIL"] = None
from embed_fn.parsing import worker
worker.prepare()
print("ready")
"""


def test_a_worker_starts_where_there_is_no_pillow() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PILLOW], capture_output=True, text=True, timeout=120)
    assert done.stdout == "ready\n", done.stderr
