"""Which rows a filter keeps."""

import operator
from typing import Any, Final

import pandas as pd

from tool_fn.data_worker.request import Step
from tool_fn.tool import ToolError

_ORDERS: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def keep(values: pd.Series, name: str, step: Step) -> pd.Series:
    """A mask; missing values are kept only when they are asked for, or by !=. Raises ToolError."""
    match step.compare:
        case "missing":
            return values.isna()
        case "present":
            return values.notna()
        case "contains":
            if not isinstance(step.value, str):
                raise ToolError("contains needs a text as value.")
            texts = values.map(str, na_action="ignore").astype(object)
            wanted = step.value.casefold()
            return texts.map(lambda text: isinstance(text, str) and wanted in text.casefold()).astype(bool)
        case "in":
            if not isinstance(step.value, list):
                raise ToolError("in needs a list as value.")
            wanted_values = [_fitting(values, name, value) for value in step.value]
            return _mask(values, lambda value: value in wanted_values)
        case "==" | "!=":
            wanted_value = _fitting(values, name, step.value)
            same = _mask(values, lambda value: value == wanted_value)
            return same if step.compare == "==" else ~same
    compare = _ORDERS[step.compare]
    limit = _fitting(values, name, step.value)
    return _mask(values, lambda value: compare(value, limit))


def _mask(values: pd.Series, test: Any) -> pd.Series:
    is_text = values.dtype == object
    return pd.Series(
        [not pd.isna(value) and bool(test(str(value) if is_text else value)) for value in values],
        index=values.index,
        dtype=bool,
    )


def _fitting(values: pd.Series, name: str, value: Any) -> Any:
    """The value in the column's type. Raises ToolError."""
    if value is None or isinstance(value, list | dict):
        raise ToolError("filter needs a value: a number or a text. For missing values compare with missing.")
    if values.dtype == object:
        return str(value)
    if str(values.dtype) == "boolean":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise ToolError(f"The column {name!r} holds true and false; {value!r} is neither.")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise ToolError(f"The column {name!r} holds numbers; {value!r} is none.") from error
    return value
