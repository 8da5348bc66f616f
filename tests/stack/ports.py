"""Ports that the tests of one process may give to servers, and those of other processes will not."""

import os
import random
from collections.abc import Container

from devstack.ports import COUNT, FIRST, is_free


def free_port(taken: Container[int] = ()) -> int:
    """A port where a server can listen, outside of the range that the system gives to outgoing connections.

    Each of the processes that `pytest -n` starts chooses from a share of its own: between this look and the server's
    start the others may look, too.
    """
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    shares = max(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), share + 1)
    while True:
        port = random.randrange(FIRST + share, FIRST + COUNT, shares)
        if port not in taken and is_free(port):
            return port
