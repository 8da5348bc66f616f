"""Tables from CSV and JSON. Nested objects become columns with dotted names."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import pandas as pd

from tool_fn.tool import ToolError

MOST_ROWS: Final = 200_000
MOST_COLUMNS: Final = 300
_MOST_CELLS: Final = 3_000_000
_DEEPEST: Final = 20
_DELIMITERS: Final = (",", ";", "\t", "|")
_MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")
_LARGEST: Final = 2**63


def read(data: str | list[Any] | dict[str, Any], path: str = "") -> pd.DataFrame:
    """A table with a type for each column. Raises ToolError, which names the line or record."""
    if isinstance(data, str):
        text = data.strip("\ufeff \t\r\n")
        if not text:
            raise ToolError("The data is empty.")
        if text[0] not in "[{":
            if path:
                raise ToolError("path is for JSON; CSV has no parts.")
            return _from_csv(text)
        data = _parsed(text)
    return _from_json(data, path)


def _parsed(text: str) -> Any:
    """JSON, or one JSON object a line."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as whole:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].rstrip().endswith("}"):
            raise ToolError(f"The data is not valid JSON: {whole}.") from whole
        records = []
        for number, line in lines:
            try:
                records.append(msgspec.json.decode(line))
            except msgspec.DecodeError as error:
                raise ToolError(f"Line {number} of the data is not valid JSON: {error}.") from error
        return records


def _from_json(data: Any, path: str) -> pd.DataFrame:
    records = _records(_at(data, path) if path else data)
    if not records:
        raise ToolError("The data has no records.")
    _check_size(len(records), 0)
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for record in records:
        row = dict(_flat(record, "", 0)) if isinstance(record, Mapping) else {"value": _scalar(record)}
        names.update(dict.fromkeys(row))
        rows.append(row)
        _check_size(len(rows), len(names))
    return pd.DataFrame({name: column([row.get(name) for row in rows]) for name in names})


def _records(data: Any) -> list[Any]:
    if isinstance(data, list):
        if data and all(isinstance(row, list) for row in data):
            return _from_rows(data)
        return data
    if not isinstance(data, Mapping):
        raise ToolError("The data is a single value. Give a list of records.")
    lists = {name: value for name, value in data.items() if isinstance(value, list)}
    if lists and len(lists) == len(data) and len(data) > 1 and all(not _has_objects(value) for value in lists.values()):
        lengths = {name: len(value) for name, value in lists.items()}
        if len(set(lengths.values())) > 1:
            raise ToolError(f"The columns have different lengths: {lengths}.")
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    tables = [name for name, value in lists.items() if _has_objects(value)]
    if len(tables) > 1:
        raise ToolError(f"There are several lists of records: {', '.join(tables)}. Say which one with path.")
    if tables:
        return lists[tables[0]]
    if len(data) == 1 and lists:
        return [{name: value} for name, values in lists.items() for value in values]
    return [data]


def _has_objects(values: list[Any]) -> bool:
    return any(isinstance(value, Mapping) for value in values)


def _from_rows(rows: list[list[Any]]) -> list[dict[str, Any]]:
    """A list of lists, the first of which may be the names."""
    head, *body = rows
    if not (body and all(isinstance(name, str) for name in head)):
        head, body = [f"column_{number + 1}" for number in range(max(map(len, rows)))], rows
    for number, row in enumerate(body, 1):
        if len(row) > len(head):
            raise ToolError(f"Row {number} has {len(row)} values, but there are {len(head)} columns.")
    return [dict(zip(head, row, strict=False)) for row in body]


def _at(data: Any, path: str) -> list[Any]:
    """What is at the path, through lists: all of what their elements have there."""
    found = [data]
    for number, name in enumerate(path.split("."), 1):
        following: list[Any] = []
        for value in _spread(found):
            if not isinstance(value, Mapping) or name not in value:
                known = ", ".join(list(value)[:20]) if isinstance(value, Mapping) else "none"
                raise ToolError(f"There is no {'.'.join(path.split('.')[:number])!r} in the data. There are: {known}.")
            following.append(value[name])
        found = following
    return list(_spread(found))


def _spread(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _flat(record: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ToolError("The records are nested too deeply.")
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, _scalar(value)


def _scalar(value: Any) -> Any:
    """Lists and empty objects stay what they are, as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _from_csv(text: str) -> pd.DataFrame:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        head = [name.strip() for name in next(reader)]
        columns: list[list[str]] = [[] for _ in head]
        _check_head(head)
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                raise ToolError(
                    f"Line {reader.line_num} of the CSV has {len(row)} fields, but its head has {len(head)} "
                    f"({_excerpt(delimiter.join(row))})."
                )
            for cells, cell in zip(columns, row, strict=True):
                cells.append(cell)
            _check_size(len(columns[0]), len(head))
    except csv.Error as error:
        raise ToolError(f"Line {reader.line_num} of the CSV cannot be read: {error}.") from error
    if not columns[0]:
        raise ToolError("The CSV has a head but no rows.")
    has_commas = delimiter == ";"
    return pd.DataFrame({name: _from_texts(cells, has_commas) for name, cells in zip(head, columns, strict=True)})


def _delimiter(text: str) -> str:
    """The one that is most often in the head, outside of quotes."""
    head = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    return max(_DELIMITERS, key=head.count)


def _check_head(head: Sequence[str]) -> None:
    if "" in head:
        raise ToolError(f"Column {head.index('') + 1} of the CSV has no name. The first line has to hold the names.")
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice:
        raise ToolError(f"The CSV has two columns named {twice[0]!r}.")


def _check_size(rows: int, columns: int) -> None:
    if rows > MOST_ROWS:
        raise ToolError(f"The data has more than {MOST_ROWS} rows.")
    if columns > MOST_COLUMNS:
        raise ToolError(f"The data has more than {MOST_COLUMNS} columns.")
    if rows * columns > _MOST_CELLS:
        raise ToolError(f"The data has more than {_MOST_CELLS} cells.")


def _excerpt(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def _from_texts(cells: Sequence[str], has_commas: bool) -> pd.Series:
    """Numbers or truth values where all cells are such."""
    values: list[Any] = [None if cell.strip().lower() in _MISSING else cell.strip() for cell in cells]
    present = [value for value in values if value is not None]
    number = _number_reader(present, has_commas)
    if number is not None:
        return column([None if value is None else number(value) for value in values])
    if present and all(value.lower() in ("true", "false") for value in present):
        return column([None if value is None else value.lower() == "true" for value in values])
    return column(values)


def _number_reader(present: Sequence[str], has_commas: bool) -> Any:
    """What reads the cells as numbers; None: not all of them are."""
    if not present:
        return None
    # A code with zeros in front, such as a postcode, is no number.
    if all(_INTEGER.fullmatch(value) for value in present):
        return None if any(re.match(r"[+-]?0[0-9]", value) for value in present) else int
    if all(_DECIMAL.fullmatch(value) for value in present):
        return float
    if has_commas and all(_COMMA.fullmatch(value) or _INTEGER.fullmatch(value) for value in present):
        return lambda value: float(value.replace(",", "."))
    if all(_THOUSANDS.fullmatch(value) or _DECIMAL.fullmatch(value) for value in present):
        return lambda value: float(value.replace(",", ""))
    return None


def column(values: list[Any]) -> pd.Series:
    """A series of one of four types: Int64, Float64, boolean, or object with texts and what is left."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {int} and all(-_LARGEST <= value < _LARGEST for value in present):
        return pd.Series(values, dtype="Int64")
    if kinds and kinds <= {int, float} and all(abs(value) < 1e308 for value in present):
        return pd.Series(
            [None if value is None or math.isnan(value) else float(value) for value in values], dtype="Float64"
        )
    return pd.Series(values, dtype=object)
