"""`python -m edge`: serves the public API until SIGTERM."""

import sys

from dormouse_runtime.settings import exit_on_bad_settings

from .settings import load


def main() -> int:
    """The process; returns its exit status."""
    with exit_on_bad_settings():
        settings = load()
    # After the settings, so that a wrong variable is told at once and not a second later.
    from .server import serve

    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
