"""Runs embed_fn as a process: `python -m embed_fn`."""

import os
import sys
from functools import partial

from dormouse_runtime.server import ServerSettings, run
from dormouse_runtime.settings import exit_on_bad_settings

from embed_fn.app import open_function
from embed_fn.settings import Settings


def main() -> int:
    """Serves until a signal; the exit status."""
    with exit_on_bad_settings():
        server_settings = ServerSettings.from_env(os.environ)
        settings = Settings.from_env(os.environ)
    # Calls are few and large: what uvloop costs at the start would never come back.
    return run("embed_fn", server_settings, partial(open_function, settings), fast_loop=False)


if __name__ == "__main__":
    sys.exit(main())
