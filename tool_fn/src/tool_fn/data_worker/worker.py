"""The worker of the data_analysis tool: pandas in a confined process."""

from typing import Final

import msgspec

from tool_fn.data_worker.analysis import answer
from tool_fn.data_worker.request import Request, Step
from tool_fn.workers import refuses_with_tool_errors

_decoder: Final = msgspec.json.Decoder(Request)
_SAMPLE: Final = "name,price,day\na,1.5,2026-01-01\nb,2,\na,,2026-01-02\n"


def prepare() -> None:
    """Uses everything once: pandas imports much when it is first needed, which a confined process can no longer do."""
    answers: list[Step] = [
        Step("describe"),
        Step("unique"),
        Step("missing"),
        Step("quantiles"),
        Step("mean"),
        Step("std"),
    ]
    changes: list[Step] = [
        Step("filter", ["price"], compare=">", value=0),
        Step("sort", ["name", "price"]),
        Step("top", ["price"]),
        Step("group_by", ["name"], {"price": ["mean", "sum", "median", "std", "min", "unique"], "day": ["max"]}),
        Step("describe"),
    ]
    answer(Request(_SAMPLE, [*answers, *changes]))
    answer(Request([{"a": {"b": True}, "c": 1}, {"a": {"b": None}, "c": "x"}], [Step("describe"), Step("unique")]))


@refuses_with_tool_errors
def handle(request: bytes) -> bytes:
    """One request as JSON, one text. Raises ToolError."""
    return answer(_decoder.decode(request)).encode()
