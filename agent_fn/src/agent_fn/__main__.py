"""Runs agent_fn as a process: `python -m agent_fn`."""

import os
import sys
from contextlib import AbstractAsyncContextManager

from dormouse_runtime.server import Function, ServerSettings, run
from dormouse_runtime.settings import exit_on_bad_settings

from agent_fn import lean_imports
from agent_fn.settings import Settings


def main() -> int:
    """Serves until a signal; the exit status."""
    with exit_on_bad_settings():
        server_settings = ServerSettings.from_env(os.environ)
        settings = Settings.from_env(os.environ)

    def build() -> AbstractAsyncContextManager[Function]:
        # langgraph comes in here and not above: the runtime takes signals by now, which a container's first process
        # must do from early on, and collects no garbage meanwhile.
        lean_imports.install()
        from agent_fn.app import open_function

        return open_function(settings)

    return run("agent_fn", server_settings, build)


if __name__ == "__main__":
    sys.exit(main())
