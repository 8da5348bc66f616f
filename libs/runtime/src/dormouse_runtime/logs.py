"""Structured logs: one line per record on stdout, with the ids of the request at hand, written by a thread of its own.

A caller never waits for whoever reads the lines: they pass through a bounded queue, and what doesn't fit is counted
and said instead of written.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

from dormouse_runtime import redaction, telemetry

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("json", "text")
_QUEUE_LIMIT: Final = 10_000
_FLUSH_S: Final = 1.0
# Lines wait this long for others, so that a busy process wakes the writer some times a second, not at every request.
_GATHER_S: Final = 0.02

_ids: Final[ContextVar[Mapping[str, str]]] = ContextVar("dormouse_log_ids", default={})  # noqa: B039 - never mutated

# What a LogRecord always has; the rest came in by `extra=`.
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

# Facts about the process and the request, which hold no text of anybody's.
_PLAIN: Final = frozenset({"address", "metrics_address", "ms", "status", "method"})


def redact(text: str) -> str:
    """The text without bearer tokens, API keys, JWTs, passwords and whatever else looks like a secret."""
    return redaction.without_secrets(text)


class _Bound:
    __slots__ = ("_token",)

    def __init__(self, token: Token[Mapping[str, str]]) -> None:
        self._token = token

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _ids.reset(self._token)


def bind(**ids: str) -> _Bound:
    """Adds ids (request_id, run_id, thread_id, tenant…) to every line that this task and its children log from now on.

    As a context manager: until its end. Empty values are left out.
    """
    return _Bound(_ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value}}))


def bound_id(name: str) -> str:
    """An id that was bound here, or ""."""
    return _ids.get().get(name, "")


def configure(service: str, level: str = "info", format: str = "json", stream: TextIO | None = None) -> None:  # noqa: A002
    """Sends all logging of the process, libraries and warnings too, to stdout (or stream).

    level: debug, info, warning or error. format: "json", one object per line (ts, level, logger, event, service, ids,
    the record's `extra`), or "text" for people. Calling it again replaces the former setting.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    handler = _QueueHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(_JsonFormatter(service) if format == "json" else _TextFormatter())
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in {"uvicorn", "gunicorn", "hypercorn"}:
            logger.handlers.clear()  # servers bring handlers of their own; one stream of lines is enough
            logger.propagate = True
    logging.captureWarnings(True)
    # A bug in logging must not become noise on stderr in the middle of a request.
    logging.raiseExceptions = False
    atexit.register(handler.close)


def flush(timeout_s: float = _FLUSH_S) -> None:
    """Waits until what was logged so far is written, at most that long."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _QueueHandler):
            handler.drain(timeout_s)


class _JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redaction.cleaned(record.getMessage()),
            "service": self._service,
            **_context(record),
        }
        if record.exc_info:
            line["exception"] = redaction.cleaned(self.formatException(record.exc_info))
        return redact(json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":")))


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        facts = "".join(f" {name}={value}" for name, value in _context(record).items())
        line = f"{moment} {record.levelname:<7} {record.name}: {redaction.cleaned(record.getMessage())}{facts}"
        if record.exc_info:
            line += "\n" + redaction.cleaned(self.formatException(record.exc_info))
        return redact(line)


def _context(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = dict(_ids.get())
    trace_id = telemetry.trace_id()
    if trace_id:
        facts["trace_id"] = trace_id
    facts.update(
        (name, value if name in _PLAIN else redaction.cleaned_value(value))
        for name, value in record.__dict__.items()
        if name not in _STANDARD
    )
    return facts


class _QueueHandler(logging.Handler):
    """Formats in the caller's context, writes in a thread."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream  # closing it, which its end of life does, would close the descriptor under the writer
        self._write = _writer(stream)
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._accepted = self._written = self._lost = 0
        self._closed = False
        threading.Thread(target=self._write_lines, name="logs", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - an unprintable value in a log line must not fail the request
            line = json.dumps({"level": "error", "logger": record.name, "event": "a log record can't be formatted"})
        with self._changed:
            if len(self._lines) >= _QUEUE_LIMIT:
                self._lost += 1
                return
            self._lines.append(line)
            self._accepted += 1
            if len(self._lines) == 1:
                self._changed.notify_all()

    def drain(self, timeout_s: float) -> None:
        with self._changed:
            target = self._accepted
            self._changed.wait_for(lambda: self._written >= target, timeout_s)

    def close(self) -> None:
        if not self._closed:
            self.drain(_FLUSH_S)
            with self._changed:
                self._closed = True
                self._changed.notify_all()
        super().close()

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                closing = self._closed
            if not closing:
                time.sleep(_GATHER_S)
            with self._changed:
                batch, self._lines = self._lines, []
                lost, self._lost = self._lost, 0
            count = len(batch)
            if lost:
                batch.append(json.dumps({"level": "warning", "event": "log lines lost", "count": lost}))
            self._write("\n".join(batch) + "\n")
            with self._changed:
                self._written += count
                self._changed.notify_all()


def _writer(stream: TextIO) -> Callable[[str], None]:
    """Writes past the stream's buffer, whose lock a thread must not hold while the interpreter ends."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):

        def write_text(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write_text

    def write_bytes(text: str) -> None:
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                time.sleep(0.02)  # a pipe that somebody has made non-blocking, and that is full
            except OSError:
                return  # the reader is gone; nobody is left to tell

    return write_bytes
