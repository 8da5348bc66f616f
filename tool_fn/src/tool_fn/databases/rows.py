"""What a query brought, and how a model reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_CELL_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows; has_more: others were left out. Values are as Postgres writes them in JSON, None is NULL."""

    columns: Sequence[str]
    values: Sequence[Sequence[str | None]]
    has_more: bool = False

    def as_table(self) -> str:
        """A Markdown table with a line about the number of rows; no table where there are none."""
        if not self.values:
            return "The query found no rows."
        lines = [_line(self.columns), "|" + "---|" * len(self.columns)]
        lines += [_line([_cell(value) for value in row]) for row in self.values]
        count = len(self.values)
        if self.has_more:
            lines.append(
                f"\nThese are the first {count} rows; there are more. Narrow the query, or count and aggregate."
            )
        else:
            lines.append(f"\n{count} row{'' if count == 1 else 's'}.")
        return "\n".join(lines)

    def as_record(self) -> str:
        """The one row there is, a line for each column."""
        (row,) = self.values
        return "\n".join(f"{column}: {_cell(value)}" for column, value in zip(self.columns, row, strict=True))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _cell(value: str | None) -> str:
    if value is None:
        return "NULL"
    return value if len(value) <= _CELL_CHARACTERS else f"{value[:_CELL_CHARACTERS]}… ({len(value)} characters)"
