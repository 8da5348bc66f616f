"""Entry point: python -m devstack.model_server."""

from __future__ import annotations

import os
import sys

import uvloop

from devstack.model_server.server import serve
from devstack.model_server.settings import Settings, SettingsError


def main() -> int:
    """Run the server; 2 when a setting is wrong or the address is taken."""
    try:
        settings = Settings.read(sys.argv[1:], os.environ)
        uvloop.run(serve(settings))
    except (SettingsError, OSError) as error:
        print(f"model server: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
