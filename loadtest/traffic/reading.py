"""Follows a stream to its terminal event and judges it: times, tokens, and whether the text is what it should be."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

import orjson

from loadtest.results import Stream
from loadtest.traffic.sse import Event, TransportError

Check = Callable[[str], str]
"""Looks at a whole text; returns what is wrong with it, or nothing."""


class Clock:
    """Turns moments at which tokens came into a stream's times."""

    def __init__(self) -> None:
        self.stream = Stream()
        self._began = time.perf_counter()
        self._last: float | None = None

    def tokens(self, count: int, at: float) -> None:
        """So many tokens were there at that moment. Those of one read have no gap between them."""
        self.stream.tokens += count
        if self._last is None:
            self.stream.ttft_ms = (at - self._began) * 1000
        elif at > self._last:
            self.stream.gaps_ms.append((at - self._last) * 1000)
        self._last = at

    def end(self, error: str = "", detail: str = "") -> Stream:
        """The stream is over."""
        self.stream.whole_ms = (time.perf_counter() - self._began) * 1000
        self.stream.error, self.stream.detail = error, detail[:200]
        return self.stream


Reader = Callable[[Clock, Iterable[Event]], str]
"""Reads events to the terminal one; returns the text."""


def follow(
    events: Callable[[], Iterable[Event]], read: Callable[[Clock, Iterable[Event]], str], check: Check
) -> Stream:
    """Play one stream; whatever happens becomes a Stream."""
    clock = Clock()
    try:
        text = read(clock, events())
    except TransportError as error:
        return clock.end(error.kind, str(error))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return clock.end("bad_event", repr(error))
    wrong = check(text)
    return clock.end("wrong_text" if wrong else "", wrong)


def read_chat(clock: Clock, events: Iterable[Event]) -> str:
    """The text of a Chat Completions stream. Raises TransportError unless finish, usage and `[DONE]` come."""
    text: list[str] = []
    finish, used, done = "", 0, False
    for event in events:
        if event.comment.startswith("waking"):
            clock.stream.wakings += 1
        if not event.data:
            continue
        if done:
            raise TransportError("after_end", "something follows the end")
        if event.data == b"[DONE]":
            done = True
            continue
        chunk = orjson.loads(event.data)
        if error := chunk.get("error"):
            raise TransportError("error_event", str(error.get("message", "")))
        if usage := chunk.get("usage"):
            used = usage["completion_tokens"]
        for choice in chunk["choices"]:
            finish = choice.get("finish_reason") or finish
            if piece := choice["delta"].get("content"):
                text.append(piece)
                clock.tokens(1, event.at)
    if not done or not finish:
        raise TransportError("truncated", "the stream ended before its terminal event")
    if not used:
        raise TransportError("no_usage", "the stream told of no tokens")
    # Tokens that the platform has merged on the way are one chunk here.
    clock.stream.tokens = max(used, clock.stream.tokens)
    return "".join(text)


def read_run(clock: Clock, events: Iterable[Event]) -> str:
    """The text of a native run. Raises TransportError unless its events are gapless and end with run.finished."""
    text: list[str] = []
    number, end = 0, ""
    for event in events:
        if not event.data:
            continue
        if end:
            raise TransportError("after_end", "something follows the end")
        data = orjson.loads(event.data)
        if data["seq"] != number + 1:
            raise TransportError("gap", f"event {data['seq']} follows event {number}")
        number = data["seq"]
        if event.name == "message.delta":
            text.append(data["text"])
            clock.tokens(data["pieces"], event.at)
        elif event.name == "activity" and data.get("kind") == "waking":
            clock.stream.wakings += 1
        elif event.name in ("run.finished", "run.failed", "run.cancelled", "run.interrupted"):
            end = event.name
    if not end:
        raise TransportError("truncated", "the stream ended before its terminal event")
    if end != "run.finished":
        raise TransportError(end.replace(".", "_"), f"the run ended with {end}")
    return "".join(text)


def read_upload(clock: Clock, events: Iterable[Event]) -> str:
    """The events of an upload: the id of the file. Raises TransportError unless it ends as processed."""
    end, file = "", ""
    for event in events:
        if event.data and event.name.startswith("file."):
            end = event.name
            data = orjson.loads(event.data)
            file = data.get("file", {}).get("id", file)
            if clock.stream.ttft_ms is None:
                clock.tokens(0, event.at)
    if end != "file.processed":
        raise TransportError("truncated" if end != "file.failed" else "file_failed", f"the upload ended with {end!r}")
    return file


class SameText:
    """A text that has to come again and again: the first one heard is it."""

    def __init__(self) -> None:
        self._expected = ""

    def __call__(self, text: str) -> str:
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._expected = self._expected or digest
        return "" if digest == self._expected else f"another text than before: {text[:80]}"


def contains(part: str) -> Check:
    """A text that has to hold this part."""
    return lambda text: "" if part in text else f"{part!r} is missing: {text[:80]}"


def says_something(text: str) -> str:
    """Any text but none."""
    return "" if text.strip() else "the answer is empty"
