"""`python -m devstack`: the platform on this machine, from the command line."""

import argparse
import asyncio
import os
import sys

from devstack.errors import DevstackError

ENVIRONMENT = """
environment:
  DORMOUSE_PORT            port of the HTTP API (8080, or the next that is free)
  DORMOUSE_HOME            folder of data, logs and secrets (.dormouse in the checkout)
  DORMOUSE_POSTGRES_URL    a Postgres that exists, instead of the embedded one
  DORMOUSE_MIGRATIONS_POSTGRES_URL
                           the same with the role that owns the tables, if that is another
  DORMOUSE_REDIS_URL       a Redis or Valkey that exists, instead of the embedded one
  OLLAMA_HOST              an Ollama that exists (127.0.0.1:11434 is found by itself)
  DORMOUSE_EDGE_REPLICAS   how many processes serve HTTP (1); more get the ports that follow
"""


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except DevstackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(
            f"error: {error.filename}: permission denied. Does it belong to another user who ran Dormouse here? Go on"
            " as that user, or name another folder with DORMOUSE_HOME.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  (or the interpreter complains while it ends)
        return 0


def _run(arguments: argparse.Namespace) -> int:
    # Each command imports what it needs: `status` need not wait for what `up` loads.
    from devstack.settings import Settings, home

    if arguments.command in ("up", "daemon"):
        from devstack import up

        settings = Settings.read(os.environ)
        if arguments.command == "daemon":
            return asyncio.run(up.daemon(settings, arguments.model, arguments.report_to))
        return asyncio.run((up.detached if arguments.detach else up.foreground)(settings, arguments.model))

    from devstack.home import Home

    folder = Home(home(os.environ))
    if arguments.command == "down":
        from devstack.down import down

        return asyncio.run(down(folder))
    if arguments.command == "status":
        from devstack.status import status

        return status(folder, as_json=arguments.json)
    from devstack.logs import show

    return asyncio.run(show(folder, arguments.name, lines=arguments.lines, follow=arguments.follow))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devstack",
        description="Runs Dormouse on this machine, as ordinary processes.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    start = commands.add_parser("up", help="start everything, follow the logs, and stop it all on Ctrl-C")
    start.add_argument("--detach", action="store_true", help="return when it is ready and leave it running")
    start.add_argument("--model", default="", metavar="NAME", help="the default model; fetched where it is missing")
    daemon = commands.add_parser("daemon")  # what `up --detach` leaves running
    daemon.add_argument("--model", default="")
    daemon.add_argument("--report-to", type=int, required=True)
    commands.add_parser("down", help="stop everything")
    shown = commands.add_parser("status", help="show the processes")
    shown.add_argument("--json", action="store_true", help="for programs")
    logs_parser = commands.add_parser("logs", help="show the logs")
    logs_parser.add_argument("name", nargs="?", default="", help="one process, for instance edge (all)")
    logs_parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    logs_parser.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="so many lines of each (50)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
