"""What commands print: lines for people, or one JSON document for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


class Output:
    """Everything goes through here, so that `--json` prints one document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def thing(self, fields: Mapping[str, Any], *, shown_once: str = "") -> None:
        """One thing. shown_once: the name of a field that holds a secret."""
        if self.as_json:
            self._write(json.dumps({name: _plain(value) for name, value in fields.items()}, indent=2))
            return
        width = max(len(name) for name in fields)
        for name, value in fields.items():
            self._write(f"{name:<{width}}  {_text(value)}")
        if shown_once:
            self._write(f"\nKeep the {shown_once} now: it cannot be shown again.")

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Several; in JSON with all their fields, for people only these."""
        if self.as_json:
            self._write(json.dumps([{name: _plain(value) for name, value in row.items()} for row in rows], indent=2))
            return
        texts = [list(columns), *([_text(row[name]) for name in columns] for row in rows)]
        widths = [max(len(line[place]) for line in texts) for place in range(len(columns))]
        for line in texts:
            self._write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())

    def done(self, sentence: str, **facts: Any) -> None:
        """That it has worked."""
        self._write(json.dumps({name: _plain(value) for name, value in facts.items()}) if self.as_json else sentence)

    def raw(self, text: str) -> None:
        """A document that is the same in both forms."""
        sys.stdout.write(text)

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set | tuple):
        return sorted(str(item) for item in value)
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, frozenset | set | tuple | list):
        return ", ".join(sorted(str(item) for item in value)) or "none"
    return str(value)
