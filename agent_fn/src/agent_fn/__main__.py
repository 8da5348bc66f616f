"""Runs agent_fn as a process: `python -m agent_fn`."""

import os
import sys

from agent_fn import lean_imports


def main() -> int:
    """Serves until a signal; the exit status."""
    lean_imports.install()
    # Below the line above, because langgraph comes in with them.
    from dormouse_runtime.server import ServerSettings, run
    from dormouse_runtime.settings import exit_on_bad_settings

    from agent_fn.app import open_function
    from agent_fn.settings import Settings

    with exit_on_bad_settings():
        server_settings = ServerSettings.from_env(os.environ)
        settings = Settings.from_env(os.environ)
    return run("agent_fn", server_settings, lambda: open_function(settings))


if __name__ == "__main__":
    sys.exit(main())
