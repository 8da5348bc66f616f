"""python -m loadtest run | gate | trial | prove: load, and whether what was measured lets a release pass."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from loadtest import prove, run, trial
from loadtest.gate import command as gate
from loadtest.gate.budget import BudgetError
from loadtest.results import ResultError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 passed, 1 refused, 2 cannot be done as asked, 3 not decided."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    parts = {
        "run": (run.add_arguments, run.main, "play a profile"),
        "gate": (gate.add_arguments, gate.main, "judge results"),
        "trial": (trial.add_arguments, trial.main, "play candidate and accepted release side by side, and judge"),
        "prove": (prove.add_arguments, prove.main, "try the gate itself with builds of known quality"),
    }
    for name, (add_arguments, _, about) in parts.items():
        add_arguments(commands.add_parser(name, help=about))
    arguments = parser.parse_args(argv)
    try:
        return parts[arguments.command][1](arguments)
    except (run.RunError, ResultError, BudgetError) as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
