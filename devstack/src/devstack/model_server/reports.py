"""The answer once tools have given their results: what each of them said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from devstack.model_server.quoting import quoted
from devstack.model_server.understanding.earlier import Result

_LONGEST_LINE = 600
_LONGEST_BLOCK = 1500


def report(request: str, results: Sequence[Result]) -> str:
    """Says what was asked and quotes what each call gave, errors as such."""
    asked = shortened(request, 160)
    end = "" if asked.endswith(("?", "!", ".", "…")) else "."
    told = findings(results, request)
    return (
        f"You asked: “{asked}”{end}{_gap(told)}{told}{_gap(told)}"
        "That is all I have to go on: I am a development model and only repeat what the tools say."
    )


def findings(results: Sequence[Result], request: str = "") -> str:
    """What each call gave: a sentence each, or a block where it has several lines; of passages what fits `request`."""
    counts = Counter(result.tool for result in results)
    told = [_told(result, request, alone=counts[result.tool] == 1) for result in results]
    return ("\n\n" if any("\n" in text for text in told) else " ").join(told)


def shortened(text: str, limit: int) -> str:
    """`text` in one line of at most `limit` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _gap(told: str) -> str:
    return "\n\n" if "\n" in told else " "


def _told(result: Result, request: str, *, alone: bool) -> str:
    name = result.tool or "The tool"
    if not alone and result.arguments:
        said = ", ".join(f"{key} {_plain(value)}" for key, value in result.arguments.items())
        name = f"{name} ({shortened(said, 80)})"
    gave = "failed" if result.failed else "returned"
    content = result.content.strip() or "nothing"
    if passages := quoted(content, " ".join((request, *map(_plain, result.arguments.values())))):
        return f"{name} found:\n\n{passages}"
    if "\n" in content:
        content = content if len(content) <= _LONGEST_BLOCK else content[:_LONGEST_BLOCK].rstrip() + "…"
        return f"{name} {gave}:\n\n" + "\n".join(f"> {line}".rstrip() for line in content.splitlines())
    content = shortened(content, _LONGEST_LINE)
    return f"{name} {gave}: {content}" + ("" if content[-1] in ".!?…" else ".")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
