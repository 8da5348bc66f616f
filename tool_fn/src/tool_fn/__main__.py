"""Runs tool_fn as a process: `python -m tool_fn`."""

import os
import sys
from functools import partial

from dormouse_runtime.server import ServerSettings, run
from dormouse_runtime.settings import exit_on_bad_settings

from tool_fn.app import open_function
from tool_fn.settings import Settings


def main() -> int:
    """Serves until a signal; the exit status."""
    with exit_on_bad_settings():
        server_settings = ServerSettings.from_env(os.environ)
        settings = Settings.from_env(os.environ)
    # Calls are few and their messages too: what uvloop costs at the start would never come back.
    return run("tool_fn", server_settings, partial(open_function, settings), fast_loop=False)


if __name__ == "__main__":
    sys.exit(main())
