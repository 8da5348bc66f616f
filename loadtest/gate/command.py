"""python -m loadtest gate: judges files of results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import orjson

from loadtest.gate.budget import Budget, BudgetError, read_budget
from loadtest.gate.judge import Judgement, Verdict, judge
from loadtest.gate.page import page
from loadtest.gate.report import as_json, markdown
from loadtest.results import Result

BUDGETS = Path(__file__).parent.parent / "budgets"
EXIT = {Verdict.PASSED: 0, Verdict.REFUSED: 1, Verdict.UNDECIDED: 3}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `python -m loadtest gate` understands."""
    parser.add_argument("--budget", required=True, help="dev, staging, prod, or a file")
    parser.add_argument("--candidate", type=Path, nargs="+", required=True, help="results, a round each")
    parser.add_argument("--baseline", type=Path, nargs="+", default=[], help="those of the last accepted release")
    parser.add_argument("--out", type=Path, default=Path(".dormouse/gate"), help="folder for JSON, Markdown and HTML")


def budget_named(name: str) -> Budget:
    """One of ours, or a file. Raises BudgetError."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_budget(path)
    if not (BUDGETS / f"{name}.yaml").is_file():
        known = ", ".join(sorted(each.stem for each in BUDGETS.glob("*.yaml")))
        raise BudgetError(f"there is no budget {name!r}; there are {known}, or a file's path")
    return read_budget(BUDGETS / f"{name}.yaml")


def write(judgement: Judgement, candidate: Sequence[Result], baseline: Sequence[Result], folder: Path) -> None:
    """Write gate.json, gate.md and gate.html."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gate.json").write_bytes(orjson.dumps(as_json(judgement), option=orjson.OPT_INDENT_2))
    (folder / "gate.md").write_text(markdown(judgement))
    (folder / "gate.html").write_text(page(judgement, candidate, baseline))


def main(arguments: argparse.Namespace) -> int:
    """0 passed, 1 refused, 3 not decided. Raises BudgetError, ResultError."""
    budget = budget_named(arguments.budget)
    candidate = [Result.read(path) for path in arguments.candidate]
    baseline = [Result.read(path) for path in arguments.baseline]
    judgement = judge(budget, candidate, baseline)
    write(judgement, candidate, baseline, arguments.out)
    print(markdown(judgement))
    print(f"{arguments.out}/gate.html")
    return EXIT[judgement.verdict]
