"""Carries out the steps, one after the other."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from tool_fn.data_worker.filtering import keep
from tool_fn.data_worker.reading import column, read
from tool_fn.data_worker.request import Request, Step
from tool_fn.data_worker.shown import cell, markdown, table
from tool_fn.tool import ToolError

_MOST_VALUES: Final = 30
_NUMERIC: Final[Mapping[str, Callable[[pd.Series], Any]]] = {
    "sum": lambda values: _sum(values),
    "mean": lambda values: values.mean(),
    "median": lambda values: values.median(),
    "std": lambda values: values.std(),
}
_ANY: Final[Mapping[str, Callable[[pd.Series], Any]]] = {
    "count": lambda values: int(values.count()),
    "min": lambda values: _extreme(values, min),
    "max": lambda values: _extreme(values, max),
    "unique": lambda values: int(values.nunique()),
    "missing": lambda values: int(values.isna().sum()),
}


def answer(request: Request) -> str:
    """The text that the model reads. Raises ToolError, which names the step."""
    frame = read(request.data, request.path)
    parts = [f"{_counted(len(frame), 'row')}, {_counted(len(frame.columns), 'column')}"]
    has_changed = False
    for place, step in enumerate(request.steps or [Step("describe")], 1):
        try:
            if step.do in _CHANGES:
                frame = _CHANGES[step.do](frame, step)
                has_changed = True
            else:
                parts.append(_answered(frame, step))
                has_changed = False
        except ToolError as error:
            raise ToolError(f"Step {place} ({step.do}): {error}") from error
    if has_changed:
        parts.append(f"{_counted(len(frame), 'row')}:\n{table(frame)}" if len(frame) else "No rows are left.")
    return "\n\n".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _answered(frame: pd.DataFrame, step: Step) -> str:
    if step.do == "describe":
        return _describe(frame, _chosen(frame, step.columns) or list(frame.columns))
    if step.do == "count" and not step.columns:
        return f"count: {_counted(len(frame), 'row')}"
    if step.do == "unique":
        names = _chosen(frame, step.columns) or list(frame.columns)
        return "\n\n".join(_values_of(frame[name], name, most=_MOST_VALUES if step.columns else 5) for name in names)
    if step.do == "quantiles":
        return _quantiles(frame, step)
    statistic = _NUMERIC.get(step.do) or _ANY[step.do]
    names = _chosen(frame, step.columns)
    if step.do in _NUMERIC:
        names = names or [name for name in frame.columns if is_numeric(frame[name])]
        if not names:
            raise ToolError("No column is numeric.")
        for name in names:
            check_numeric(frame, name)
    rows = [(name, statistic(frame[name]), int(frame[name].count())) for name in names or frame.columns]
    if len(rows) == 1:
        name, value, count = rows[0]
        return f"{step.do} of {name}: {cell(_plain(value))} ({count} values, {len(frame) - count} missing)"
    return markdown(("column", step.do, "values"), [(name, _plain(value), count) for name, value, count in rows])


def _describe(frame: pd.DataFrame, names: Sequence[str]) -> str:
    head = ("column", "type", "values", "missing", "unique", "min", "max", "mean", "median", "std", "most frequent")
    rows = []
    for name in names:
        values = frame[name]
        present = values.dropna()
        row: list[Any] = [name, kind(values), len(present), len(values) - len(present), int(values.nunique())]
        row += [_plain(_extreme(values, min)), _plain(_extreme(values, max))]
        if is_numeric(values) and len(present):
            row += [_plain(_NUMERIC[statistic](values)) for statistic in ("mean", "median", "std")] + [""]
        else:
            counts = present.value_counts()
            repeats = len(counts) and counts.iloc[0] > 1
            row += ["", "", "", f"{cell(counts.index[0])} ({counts.iloc[0]} times)" if repeats else ""]
        rows.append(row)
    return markdown(head, rows)


def _values_of(values: pd.Series, name: str, most: int) -> str:
    counts = values.value_counts(dropna=False)
    rows = [(_plain(value) if value is not None else None, int(count)) for value, count in counts.iloc[:most].items()]
    rows = [("(missing)" if cell(value) == "" else value, count) for value, count in rows]
    text = f"{name}: {values.nunique()} different values\n" + markdown((name, "rows"), rows)
    return text + (f"\n({len(counts) - most} more)" if len(counts) > most else "")


def _quantiles(frame: pd.DataFrame, step: Step) -> str:
    names = _chosen(frame, step.columns) or [name for name in frame.columns if is_numeric(frame[name])]
    if not names:
        raise ToolError("No column is numeric.")
    for name in names:
        check_numeric(frame, name)
    rows = [
        (name, *(_plain(frame[name].astype("Float64").quantile(part)) for part in step.quantiles)) for name in names
    ]
    return markdown(("column", *(f"{part:g}" for part in step.quantiles)), rows)


def _filter(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    names = _chosen(frame, step.columns)
    if len(names) != 1:
        raise ToolError("filter needs one column.")
    return frame[keep(frame[names[0]], names[0], step)]


def _select(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    names = _chosen(frame, step.columns)
    if not names:
        raise ToolError("select needs columns.")
    return frame[names]


def _sort(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    return _sorted(frame, step, descending=step.descending)


def _top(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    """The rows with the largest values; without columns the first rows as they are."""
    return (_sorted(frame, step, descending=True) if step.columns else frame).head(step.n)


def _sorted(frame: pd.DataFrame, step: Step, *, descending: bool) -> pd.DataFrame:
    names = _chosen(frame, step.columns)
    if not names:
        raise ToolError("sort needs columns.")
    # Texts and numbers in one column have an order, too: as texts.
    return frame.sort_values(
        names, ascending=not descending, kind="stable", na_position="last", key=lambda values: _comparable(values)
    )


def _group_by(frame: pd.DataFrame, step: Step) -> pd.DataFrame:
    by = _chosen(frame, step.columns)
    if not by:
        raise ToolError("group_by needs columns.")
    wanted: list[tuple[str, str]] = []
    for asked, statistics in step.aggregate.items():
        (name,) = _chosen(frame, [asked])
        for statistic in statistics:
            if statistic in _NUMERIC:
                check_numeric(frame, name)
            wanted.append((name, statistic))
    # pandas groups what can be hashed and compared.
    groups = frame.groupby([_comparable(frame[name]) for name in by], dropna=False, sort=True)
    found: dict[str, list[Any]] = {name: [] for name in (*by, "rows", *(f"{name}_{figure}" for name, figure in wanted))}
    for _, group in groups:
        for name in by:
            found[name].append(_plain(group[name].iloc[0]))
        found["rows"].append(len(group))
        for name, figure in wanted:
            found[f"{name}_{figure}"].append(_plain((_NUMERIC.get(figure) or _ANY[figure])(group[name])))
    return pd.DataFrame({name: column(values) for name, values in found.items()})


def _comparable(values: pd.Series) -> pd.Series:
    if values.dtype != object:
        return values
    return values.map(str, na_action="ignore")


_CHANGES: Final[Mapping[str, Callable[[pd.DataFrame, Step], pd.DataFrame]]] = {
    "filter": _filter,
    "select": _select,
    "sort": _sort,
    "top": _top,
    "group_by": _group_by,
}


def _chosen(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The columns by name, in any case of letters. Raises ToolError with the names that there are."""
    found = []
    folded = {str(name).casefold(): name for name in frame.columns}
    for asked in columns:
        name = asked if asked in frame.columns else folded.get(asked.strip().casefold())
        if name is None:
            names = [str(name) for name in frame.columns]
            near = difflib.get_close_matches(asked, names, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ToolError(f"There is no column {asked!r}.{hint} There are: {', '.join(names)[:1000]}.")
        found.append(name)
    return list(dict.fromkeys(found))


def is_numeric(values: pd.Series) -> bool:
    """Truth values count as 0 and 1."""
    return bool(values.dtype != object)


def check_numeric(frame: pd.DataFrame, name: str) -> None:
    """Raises ToolError with the first value that is no number, and its row."""
    values = frame[name]
    if is_numeric(values):
        return
    for place, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ToolError(f"The column {name!r} is not numeric: row {place + 1} holds {cell(value)!r}.")
    raise ToolError(f"The column {name!r} has no numbers.")


def kind(values: pd.Series) -> str:
    """What a column holds, in a word."""
    if values.dtype != object:
        return {"Int64": "integer", "Float64": "number", "boolean": "true/false"}.get(str(values.dtype), "number")
    kinds = {type(value) for value in values.dropna()}
    return "empty" if not kinds else "text" if kinds == {str} else "mixed"


def _sum(values: pd.Series) -> Any:
    # Whole numbers of pandas are 64 bits wide and wrap around without a word.
    return sum(values.dropna().tolist()) if str(values.dtype) == "Int64" else values.sum()


def _extreme(values: pd.Series, choose: Callable[..., Any]) -> Any:
    present = values.dropna()
    if present.empty:
        return None
    if values.dtype != object:
        return present.min() if choose is min else present.max()
    return choose(present.map(str))


def _plain(value: Any) -> Any:
    """A value of Python's own types."""
    if value is None or value is pd.NA:
        return None
    return value.item() if hasattr(value, "item") else value
