"""A trace as JSON, and as a tree for people with a terminal."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from .trace import Span, Totals, Trace

CUT: Final = 160
"""Characters of a text in a line of the tree."""


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """A RunTrace."""
    return {
        "object": "run.trace",
        "run_id": trace.root.id,
        "status": trace.status,
        "totals": asdict(trace.totals),
        "root": _span_to_json(trace.root),
    }


def _span_to_json(span: Span) -> dict[str, Any]:
    return {
        "kind": span.kind,
        "id": span.id,
        "name": span.name,
        "seq": span.seq,
        "started_at": _time(span.started_ms),
        "ended_at": None if span.ended_ms is None else _time(span.ended_ms),
        "duration_ms": span.duration_ms,
        **span.facts,
        "children": [_span_to_json(child) for child in span.children],
    }


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def trace_to_text(trace: Trace) -> str:
    """One line for each span, indented, and below it what it said."""
    lines = [f"{trace.root.id}  {trace.status}  {_totals(trace.root, trace.totals)}"]
    lines += _lines(trace.root, trace.root.started_ms, 0)
    return "\n".join(lines) + "\n"


def _totals(root: Span, totals: Totals) -> str:
    words = [_duration(root.duration_ms)]
    if totals.first_token_ms is not None:
        words.append(f"first token after {totals.first_token_ms:,} ms")
    tokens = f"{totals.prompt_tokens:,} + {totals.completion_tokens:,} tokens"
    words.append(f"{tokens} in {_count(totals.model_calls, 'model call')}")
    if totals.tool_calls:
        failed = f" ({totals.tool_errors} failed)" if totals.tool_errors else ""
        words.append(f"{_count(totals.tool_calls, 'tool call')}{failed}")
    return ", ".join(words)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _lines(span: Span, start_ms: int, depth: int) -> Iterator[str]:
    indent = "  " * depth
    marks = [word for word in ("continued", "broken_off", "replaced", "at_client") if span.facts.get(word)]
    facts = [_duration(span.duration_ms), *(mark.replace("_", " ") for mark in marks), *_tokens(span)]
    title = span.name if span.name.startswith(f"{span.kind} ") else f"{span.kind} {span.name}"
    yield f"{indent}{span.started_ms - start_ms:>7,} ms  {title}  ({', '.join(facts)})"
    for note in _notes(span):
        yield f"{indent}              {note}"
    for child in span.children:
        yield from _lines(child, start_ms, depth + 1)


def _tokens(span: Span) -> Iterator[str]:
    for call in span.facts.get("model_calls", ()):
        yield f"{call['model']}: {call['prompt_tokens']:,} + {call['completion_tokens']:,} tokens"


def _notes(span: Span) -> Iterator[str]:
    facts = span.facts
    if facts.get("reasoning"):
        yield f"thought: {_cut(facts['reasoning'])}"
    if facts.get("text"):
        yield f"said: {_cut(facts['text'])}"
    for cited in facts.get("citations", ()):
        source, words = cited["source"], facts.get("text", "")[cited["start"] : cited["end"]]
        where = f"{source['filename']} at {source['url']}" if source else "nothing supports it"
        yield f"cited: {_cut(words)} — {where}"
    if span.kind == "tool_call":
        yield f"with: {_cut(_compact(facts.get('arguments')))}"
        result = facts.get("result")
        if result is not None:
            word = "unknown" if result["outcome_unknown"] else "error" if result["is_error"] else "result"
            yield f"{word}: {_cut(result['content'])}"
    if span.kind == "interrupt":
        yield f"asked: {_cut(facts['message'])}"
        if "answer" in facts:
            yield f"answered: {_cut(_compact(facts['answer']))}"
    for saved in facts.get("artifacts", ()):
        yield f"saved: {saved['artifact_id']} version {saved['version']}"
    if "error" in facts:
        yield f"error: {facts['error']['code']}: {_cut(facts['error']['message'])}"
    if "state" in facts:
        yield f"state: {_cut(_compact(facts['state']))}"


def _duration(duration_ms: int | None) -> str:
    return "still going on" if duration_ms is None else f"{duration_ms:,} ms"


def _compact(value: Any) -> str:
    return orjson.dumps(value).decode()


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CUT else f"{line[:CUT]}… ({len(text):,} characters)"
