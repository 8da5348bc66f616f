"""Bodies that are no requests, on every surface: the right 4xx in OpenAI's shape, and never a 5xx."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from tests.clients.refusals import Answer, error_of, fine_or_refused, unbroken
from tests.stack import Platform, Stack

TEN_MB = 10_000_000
MESSAGE = {"role": "user", "content": "Hi"}


@dataclass(frozen=True, slots=True)
class Surface:
    """Somewhere a body can be sent, and a body that is taken there."""

    method: str
    path: str
    body: dict[str, Any]
    said: tuple[str | int, ...] = ()
    """Where in the body the text is that somebody says."""

    def saying(self, text: Any) -> dict[str, Any]:
        """The body with something else said."""
        changed: dict[str, Any] = json.loads(json.dumps(self.body))
        here: Any = changed
        for step in self.said[:-1]:
            here = here[step]
        here[self.said[-1]] = text
        return changed


CHAT = Surface(
    "POST",
    "/v1/chat/completions",
    {"model": "chat", "messages": [MESSAGE], "max_tokens": 3},
    ("messages", 0, "content"),
)
AGUI = Surface(
    "POST",
    "/v1/agents/chat/ag-ui",
    {"threadId": "bad bodies", "runId": "r", "messages": [{"id": "m", **MESSAGE}]},
    ("messages", 0, "content"),
)
RUN = Surface("POST", "/v1/runs", {"input": {"messages": [MESSAGE]}}, ("input", "messages", 0, "content"))
THREAD_RUN = Surface("POST", "/v1/threads/{thread}/runs", RUN.body, RUN.said)
THREAD = Surface("POST", "/v1/threads", {"metadata": {"a": "b"}}, ("metadata", "a"))
CHANGES = Surface("PATCH", "/v1/threads/{thread}", THREAD.body, THREAD.said)

RESUME = Surface("POST", f"/v1/runs/run_{'a' * 24}/resume", {})
RESTORE = Surface("POST", f"/v1/artifacts/art_{'a' * 24}/restore", {})

SURFACES = (CHAT, AGUI, RUN, THREAD_RUN, THREAD, CHANGES)
RUNS = (CHAT, AGUI, RUN, THREAD_RUN)
on_every_surface = pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.path)
on_every_run = pytest.mark.parametrize("surface", RUNS, ids=lambda surface: surface.path)


@pytest.fixture(scope="module", autouse=True)
async def nothing_breaks(platform: Platform) -> AsyncIterator[None]:
    async with unbroken(platform):
        yield


class Sender:
    """Sends bodies as the tenant, to a thread of its own where a path asks for one."""

    def __init__(self, http: httpx.AsyncClient, thread: str) -> None:
        self._http = http
        self._thread = thread

    async def send(self, surface: Surface, content: Any, **headers: str) -> Answer:
        path = surface.path.format(thread=self._thread)
        given = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return Answer.of(await self._http.request(surface.method, path, content=content, headers=given))

    async def send_json(self, surface: Surface, body: Any) -> Answer:
        return await self.send(surface, json.dumps(body).encode())


@pytest.fixture(scope="module")
async def http(stack: Stack, platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(await stack.database.tenant()) as http:
        yield http


@pytest.fixture
async def sender(http: httpx.AsyncClient) -> Sender:
    return Sender(http, (await http.post("/v1/threads")).json()["id"])


@on_every_surface
@pytest.mark.parametrize(
    "body",
    [b"{", b"nul", b"{'a': 1}", b"[1,", b'{"a": 1}}', b'{"a": 01}', b'{"a" 1}', b"\x00", b"\xef\xbb\xbf{}x", b"{} {}"],
)
async def test_broken_json_is_refused(sender: Sender, surface: Surface, body: bytes) -> None:
    error = error_of(await sender.send(surface, body), 400)
    assert error["message"].startswith("The body is not valid JSON")
    assert error["param"] is None


@on_every_surface
@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"5", b"true", b"[{}]"])
async def test_a_body_that_is_no_object_is_refused(sender: Sender, surface: Surface, body: bytes) -> None:
    assert error_of(await sender.send(surface, body), 400)["code"] == "invalid_argument"


@pytest.mark.parametrize("surface", [*RUNS, CHANGES], ids=lambda surface: surface.path)
async def test_a_body_that_is_not_there_is_refused(sender: Sender, surface: Surface) -> None:
    assert "empty" in error_of(await sender.send(surface, b""), 400)["message"]
    error_of(await sender.send(surface, b"{}"), 400)
    error_of(await sender.send(surface, b"   "), 400)


@pytest.mark.parametrize("surface", [RESUME, RESTORE], ids=lambda surface: surface.path)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"answers": {}}', b'{"answers": {"": 1}}', b'{"answers": [1]}', b"\xff",
     b'{"version": 0}', b'{"version": 1.5}', b'{"version": "1"}', b'{"version": 1e400}'],
)  # fmt: skip
async def test_what_is_no_answer_and_no_version_is_refused(sender: Sender, surface: Surface, body: bytes) -> None:
    error_of(await sender.send(surface, body), 400)


@on_every_surface
@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"a\x80", b"\\ud800", b"\\udc00\\ud800"]
)
async def test_what_is_not_unicode_is_refused(sender: Sender, surface: Surface, text: bytes) -> None:
    body = json.dumps(surface.saying("HERE")).encode().replace(b"HERE", text)
    error_of(await sender.send(surface, body), 400)


@on_every_surface
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
async def test_only_utf_8_is_read(sender: Sender, surface: Surface, encoding: str) -> None:
    error_of(await sender.send(surface, json.dumps(surface.body).encode(encoding)), 400)


@on_every_surface
async def test_a_null_character_is_carried_or_refused(sender: Sender, surface: Surface) -> None:
    fine_or_refused(await sender.send_json(surface, surface.saying("a\0b")), 400)
    raw = json.dumps(surface.saying("HERE")).encode().replace(b"HERE", b"a\x00b")
    error_of(await sender.send(surface, raw), 400)


@pytest.mark.parametrize(
    ("surface", "change"),
    [
        (AGUI, {"threadId": "a\0b"}),
        (AGUI, {"runId": "a\0b"}),
        (AGUI, {"messages": [{"id": "a\0b", **MESSAGE}]}),
        (AGUI, {"messages": [{"id": "m", **MESSAGE, "name": "\0"}]}),
        (AGUI, {"context": [{"description": "\0", "value": "\0"}]}),
        (AGUI, {"tools": [{"name": "a\0b", "description": "\0", "parameters": {"\0": "\0"}}]}),
        (RUN, {"agent": "chat\0"}),
        (RUN, {"model": "sim\0"}),
        (RUN, {"client_tools": [{"name": "a", "description": "\0", "parameters": {"\0": "\0"}}]}),
        (RUN, {"options": {"response_json_schema": {"\0": "\0"}}}),
        (RUN, {"options": {"stop": ["\0"]}}),
        (THREAD_RUN, {"input": {"messages": [{"id": "a\0b", **MESSAGE, "name": "\0"}]}}),
        (CHAT, {"model": "chat\0"}),
        (CHAT, {"user": "\0", "metadata": {"\0": "\0"}}),
        (CHAT, {"messages": [{"role": "tool", "content": "x", "tool_call_id": "\0"}]}),
    ],
)
async def test_a_null_character_breaks_nothing_wherever_it_is(
    sender: Sender, surface: Surface, change: dict[str, Any]
) -> None:
    fine_or_refused(await sender.send_json(surface, surface.body | change), 400, 404)


@on_every_surface
@pytest.mark.parametrize("depth", [300, 5_000, 200_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
async def test_deep_nesting_is_refused(sender: Sender, surface: Surface, depth: int, start: str, end: str) -> None:
    deep = start * depth + "1" + end * depth
    error_of(await sender.send(surface, deep.encode()), 400)
    within = json.dumps({**surface.body, "HERE": 1}).replace('"HERE": 1', f'"extra": {deep}')
    fine_or_refused(await sender.send(surface, within.encode()), 400)


@pytest.mark.parametrize(
    ("surface", "place"),
    [
        (CHAT, {"tools": [{"type": "function", "function": {"name": "a", "parameters": "HERE"}}]}),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": "HERE"}}}),
        (CHAT, {"metadata": "HERE"}),
        (AGUI, {"tools": [{"name": "a", "description": "", "parameters": "HERE"}]}),
        (AGUI, {"state": "HERE", "forwardedProps": "HERE"}),
        (RUN, {"client_tools": [{"name": "a", "parameters": "HERE"}]}),
        (RUN, {"options": {"response_json_schema": "HERE"}}),
    ],
)
@pytest.mark.parametrize("depth", [20, 100, 190, 260])
async def test_deep_nesting_where_anything_goes_breaks_nothing(
    sender: Sender, surface: Surface, place: dict[str, Any], depth: int
) -> None:
    deep = '{"type":"object","properties":{"a":' * (depth // 2) + '{"type":"string"}' + "}}" * (depth // 2)
    body = json.dumps(surface.body | place).replace('"HERE"', deep)
    fine_or_refused(await sender.send(surface, body.encode()), 400)


@pytest.mark.parametrize("surface", [CHAT, RUN], ids=lambda surface: surface.path)
@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "9" * 5000, "NaN", "Infinity", "1e-400", "-0", "0.1"])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "seed", "top_p"])
async def test_a_number_beyond_measure_is_refused_or_harmless(
    sender: Sender, surface: Surface, number: str, field: str
) -> None:
    inner = {field: "HERE"} if surface is CHAT else {"options": {field: "HERE"}}
    body = json.dumps(surface.body | inner).replace('"HERE"', number)
    fine_or_refused(await sender.send(surface, body.encode()), 400)


@on_every_run
@pytest.mark.parametrize("number", ["1e400", "9" * 400, "9" * 5000, "-1e-400"])
async def test_a_number_beyond_measure_where_nobody_looks_breaks_nothing(
    sender: Sender, surface: Surface, number: str
) -> None:
    body = json.dumps({**surface.body, "extra": "HERE", "state": "HERE"}).replace('"HERE"', number)
    fine_or_refused(await sender.send(surface, body.encode()), 400)


@on_every_surface
async def test_of_a_key_that_comes_twice_one_counts(sender: Sender, surface: Surface) -> None:
    text = json.dumps(surface.body)[1:-1]
    fine_or_refused(await sender.send(surface, f"{{{text}, {text}}}".encode()), 400)
    name = next(iter(surface.body))
    error_of(await sender.send(surface, f'{{{text}, "{name}": []}}'.encode()), 400)


@on_every_surface
@pytest.mark.parametrize("wrong", [5, 1.5, True, [], [[]], {}, {"type": "text"}])
async def test_a_text_that_is_none_is_refused_by_name(sender: Sender, surface: Surface, wrong: Any) -> None:
    answer = await sender.send_json(surface, surface.saying(wrong))
    if wrong == [] and answer.status < 300:
        fine_or_refused(answer)  # a message of no parts
        return
    assert str(surface.said[0]) in error_of(answer, 400)["param"]


ANSWERED = {"role": "tool", "content": "3"}


@pytest.mark.parametrize(
    ("surface", "change", "param"),
    [
        (CHAT, {"messages": [{**ANSWERED, "tool_call_id": ""}]}, "messages[0].tool_call_id"),
        (AGUI, {"messages": [{"id": "m", **ANSWERED, "toolCallId": ""}]}, "messages[0].toolCallId"),
        (RUN, {"input": {"messages": [{**ANSWERED, "tool_call_id": ""}]}}, "input.messages[0].tool_call_id"),
        (AGUI, {"tools": [{"name": "a", "description": "", "parameters": "text"}]}, "tools[0].parameters"),
        (AGUI, {"tools": [{"name": "a", "description": "", "parameters": []}]}, "tools[0].parameters"),
        (AGUI, {"tools": [{"name": "", "description": ""}]}, "tools[0].name"),
        (AGUI, {"messages": [{"id": "m", "role": "reasoning", "content": "Well."}]}, "messages"),
        (RUN, {"client_tools": [{"name": "a", "parameters": "text"}]}, "client_tools[0].parameters"),
        (RUN, {"options": {"response_json_schema": []}}, "options.response_json_schema"),
    ],
)
async def test_what_no_agent_could_use_is_refused_before_any_stream(
    sender: Sender, surface: Surface, change: dict[str, Any], param: str
) -> None:
    assert error_of(await sender.send_json(surface, surface.body | change), 400)["param"] == param


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"required": 7}}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 5}}}},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_that_only_the_model_server_can_refuse_is_the_clients_fault_too(
    sender: Sender, change: dict[str, Any], stream: bool
) -> None:
    error_of(await sender.send_json(CHAT, CHAT.body | change | {"stream": stream}), 400)


@on_every_surface
async def test_a_long_body_is_refused_whether_announced_or_not(sender: Sender, surface: Surface) -> None:
    body = json.dumps(surface.saying("x" * TEN_MB)).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    for content in (body, chunks()):
        answer = await sender.send(surface, content)
        assert error_of(answer, 413)["code"] == "request_too_large"


@pytest.mark.parametrize("surface", [CHAT, THREAD_RUN], ids=lambda surface: surface.path)
async def test_a_body_at_the_limit_is_answered(sender: Sender, surface: Surface) -> None:
    text = "x" * (8 * 1024 * 1024 - len(json.dumps(surface.saying(""))))
    fine_or_refused(await sender.send_json(surface, surface.saying(text)), 400)
    error_of(await sender.send_json(surface, surface.saying(text + "x")), 413)


@on_every_surface
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "jsonish", ""]
)
async def test_another_media_type_is_refused_as_such(sender: Sender, surface: Surface, media_type: str) -> None:
    answer = await sender.send(surface, json.dumps(surface.body).encode(), content_type=media_type)
    assert error_of(answer, 415)["code"] == "unsupported_media_type"


@on_every_surface
async def test_an_encoded_body_is_refused(sender: Sender, surface: Surface) -> None:
    answer = await sender.send(surface, b"\x1f\x8b\x08\x00rest", content_encoding="gzip")
    error_of(answer, 400, 415)


@on_every_surface
async def test_a_stranger_is_sent_away_whatever_the_body_is(platform: Platform, surface: Surface) -> None:
    async with platform.edge.client() as http:
        path = surface.path.format(thread="thread_" + "a" * 24)
        for content in (b"", b"{", json.dumps(surface.body).encode()):
            answer = Answer.of(await http.request(surface.method, path, content=content))
            assert error_of(answer, 401)["code"] == "invalid_api_key"


@on_every_run
@pytest.mark.parametrize("messages", [[], [[]], [None], [{}], "Hi", {"0": {}}, None, 5])
async def test_messages_that_are_none_are_refused_by_name(sender: Sender, surface: Surface, messages: Any) -> None:
    within = {"messages": messages} if surface.said[0] == "messages" else {"input": {"messages": messages}}
    error = error_of(await sender.send_json(surface, surface.body | within), 400)
    assert "messages" in error["param"]


@on_every_run
async def test_ten_thousand_messages_are_answered_and_one_more_refused(sender: Sender, surface: Surface) -> None:
    surface = replace(surface, body=surface.body | {"threadId": "many messages"})

    def body(count: int) -> dict[str, Any]:
        messages = [{"id": f"m{number}", **MESSAGE} for number in range(count)]
        within = {"messages": messages} if surface.said[0] == "messages" else {"input": {"messages": messages}}
        return surface.body | within

    fine_or_refused(await sender.send_json(surface, body(10_000)), 400)
    error_of(await sender.send_json(surface, body(10_001)), 400)


@pytest.mark.parametrize(
    ("surface", "change", "code"),
    [
        (CHAT, {"model": "gpt-9"}, "model_not_found"),
        (CHAT, {"model": "../../etc/passwd"}, "model_not_found"),
        (CHAT, {"model": "chat "}, "model_not_found"),
        (CHAT, {"model": "é" * 256}, "model_not_found"),
        (RUN, {"model": "gpt-9"}, "model_not_found"),
        (RUN, {"agent": "nobody"}, "agent_not_found"),
        (RUN, {"agent": "sim"}, "agent_not_found"),
    ],
)
async def test_an_unknown_model_or_agent_is_not_found(
    sender: Sender, surface: Surface, change: dict[str, Any], code: str
) -> None:
    assert error_of(await sender.send_json(surface, surface.body | change), 404)["code"] == code
