"""The answer once tools have given their results: what each of them said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from devstack.model_server.understanding.earlier import Result

_LONGEST = 600


def report(request: str, results: Sequence[Result]) -> str:
    """Says what was asked and quotes what each call gave, errors as such."""
    asked = shortened(request, 160)
    end = "" if asked.endswith(("?", "!", ".", "…")) else "."
    return (
        f"You asked: “{asked}”{end} {findings(results)} "
        "That is all I have to go on: I am a development model and only repeat what the tools say."
    )


def findings(results: Sequence[Result]) -> str:
    """What each call gave, a sentence each."""
    counts = Counter(result.tool for result in results)
    return " ".join(_sentence(result, alone=counts[result.tool] == 1) for result in results)


def shortened(text: str, limit: int) -> str:
    """`text` in one line of at most `limit` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _sentence(result: Result, *, alone: bool) -> str:
    name = result.tool or "The tool"
    if not alone and result.arguments:
        said = ", ".join(f"{key} {_plain(value)}" for key, value in result.arguments.items())
        name = f"{name} ({shortened(said, 80)})"
    content = shortened(result.content, _LONGEST) or "nothing"
    return f"{name} {'failed' if result.failed else 'returned'}: {content}" + ("" if content[-1] in ".!?…" else ".")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
