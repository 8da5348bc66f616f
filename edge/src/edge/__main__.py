"""`python -m edge`: serves the public API until SIGTERM."""

import os
import sys

from dormouse_runtime.settings import exit_on_bad_settings

from .settings import load


def main() -> int:
    """The process; returns its exit status."""
    with exit_on_bad_settings():
        settings = load()
    # gRPC reads this when it is imported. Its older way of polling takes a quarter less CPU per streamed message in a
    # client (docs/performance.md); a gRPC that no longer knows the name says so in a line and goes on.
    os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client")
    # After the settings, so that a wrong variable is told at once and not a second later.
    from .server import serve

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
