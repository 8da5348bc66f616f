"""Log lines: one JSON object each, with the request's ids, without secrets, and never in anybody's way."""

import asyncio
import io
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from dormouse_runtime import logs, redaction, telemetry

logger = logging.getLogger("a.part")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the lines go; pytest's own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers.clear()
    try:
        yield io.StringIO()
    finally:
        for handler in root.handlers[:]:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.raiseExceptions = raising
        logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    logs.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_becomes_one_json_line(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)
    logger.info("run %s", "started", extra={"attempt": 2, "of": {"a": 1}})
    (line,) = lines(stream)
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "a.part",
        "event": "run started",
        "service": "edge",
        "attempt": 2,
        "of": {"a": 1},
    }


async def test_ids_belong_to_the_task_that_bound_them_and_its_children(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)

    async def request(name: str) -> None:
        logs.bind(request_id=name, tenant="")
        await asyncio.sleep(0)
        await asyncio.create_task(child())

    async def child() -> None:
        with logs.bind(run_id="run_1"):
            logger.info("inside")
        logger.info("outside")

    await asyncio.gather(request("r1"), request("r2"))
    logger.info("none")
    found = [(line["event"], line.get("request_id"), line.get("run_id")) for line in lines(stream)]
    assert sorted(found[:4]) == [
        ("inside", "r1", "run_1"),
        ("inside", "r2", "run_1"),
        ("outside", "r1", None),
        ("outside", "r2", None),
    ]
    assert found[4] == ("none", None, None)


async def test_the_trace_is_named(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    async def request() -> None:
        telemetry.continue_trace({"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
        logger.info("traced")

    await asyncio.create_task(request())
    assert lines(stream)[0]["trace_id"] == trace_id


def test_an_exception_stays_within_its_line(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)
    try:
        raise ValueError("a\nb")
    except ValueError:
        logger.exception("failed")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: a\nb")


@pytest.mark.parametrize(
    "secret",
    [
        "Authorization: Bearer abc.def-ghi",
        "key dm_live_0123456789ABCDEFGHIJ0123456789ABCDEFGHIJ0123456789",
        "token eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",  # pragma: allowlist secret - made up
        "postgresql://dormouse_app:hunter2@db:5432/dormouse",
        "redis://:hunter2@cache",
    ],
)
@pytest.mark.parametrize("format_", logs.FORMATS)
def test_secrets_never_reach_a_line(stream: io.StringIO, secret: str, format_: str) -> None:
    logs.configure("edge", format=format_, stream=stream)
    logger.info("saw %s", secret, extra={"also": secret})
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed")
    logs.flush()
    written = stream.getvalue()
    for part in ("abc.def", "0123456789ABC", "eyJ", "hunter2"):
        assert part not in written
    assert "***" in written


def test_what_is_no_secret_stays() -> None:
    for text in ("dm_live_0123abcd", "http://host:80/path?a=b@c", "run_eyJ", "bearer of news", "a://b/c@d"):
        assert logs.redact(text) == text


def test_text_is_for_people(stream: io.StringIO) -> None:
    logs.configure("edge", format="text", stream=stream)
    with logs.bind(run_id="run_1"):
        logger.warning("slow", extra={"ms": 5})
    logs.flush()
    assert stream.getvalue().rstrip().endswith("WARNING a.part: slow run_id=run_1 ms=5")


def test_the_level_is_obeyed_and_can_be_set_again(stream: io.StringIO) -> None:
    logs.configure("edge", level="warning", stream=stream)
    logger.info("quiet")
    logs.configure("edge", level="info", stream=stream)
    logger.info("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_uvicorns_loggers_and_warnings_join_in(stream: io.StringIO) -> None:
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addHandler(logging.StreamHandler(io.StringIO()))
    uvicorn.propagate = False
    uvicorn.setLevel(logging.NOTSET)  # a server that ran before has made it quieter
    logs.configure("edge", stream=stream)
    uvicorn.info("Started server process")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert [line["logger"] for line in lines(stream)] == ["uvicorn.error", "py.warnings"]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_cannot_be_printed_does_not_fail_the_caller(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)
    logger.info("value", extra={"value": Unprintable()})
    logger.info("value %d", "x")
    logger.info("lone \ud800 surrogate")
    assert len(lines(stream)) == 3


def test_a_reader_that_stops_reading_holds_up_nobody(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_QUEUE_LIMIT", 200)
    reading, writing = os.pipe()
    logs.configure("edge", stream=os.fdopen(writing, "w"))
    text = "x" * 1000
    started = time.perf_counter()
    for _ in range(500):  # more than a pipe and the queue hold
        logger.info(text)
    logs.flush(0.01)
    assert time.perf_counter() - started < 5
    seen = b""
    while b"log lines lost" not in seen:  # it goes on once somebody reads again, and says what is missing
        chunk = os.read(reading, 65536)
        assert chunk
        seen = seen[-100:] + chunk
    os.close(reading)
    logger.info("nobody reads this")
    logs.flush()


def test_personal_data_is_left_out_wherever_it_stands(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)
    try:
        raise ValueError("no mail to ann@example.org")
    except ValueError:
        logger.exception("call +49 30 901820", extra={"who": "ann@example.org", "of": {"card": ["4111111111111111"]}})
    text = stream.getvalue() or str(lines(stream))
    (line,) = lines(stream)
    assert line["event"] == "call [phone]"
    assert line["who"] == "[email]"
    assert line["of"] == {"card": ["[card]"]}
    assert "ann@" not in text + line["exception"]


async def test_a_task_that_may_log_content_still_logs_no_secrets(stream: io.StringIO) -> None:
    logs.configure("edge", stream=stream)

    async def request() -> None:
        redaction.allow_content()
        key = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"  # pragma: allowlist secret - made up
        logger.info(f"mail to ann@example.org with {key}")  # noqa: G004 - as people write it

    await asyncio.create_task(request())
    logger.info("mail to ann@example.org")
    assert [line["event"] for line in lines(stream)] == [
        "mail to ann@example.org with [stripe_key]",
        "mail to [email]",
    ]
