"""Requests that ask for what is not there or not theirs: ids, keys, positions, pages, methods."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.clients.refusals import Answer, error_of, fine_or_refused, unbroken
from tests.stack import Platform, Stack, Tenant

UNKNOWN_RUN = "run_" + "a" * 24
UNKNOWN_THREAD = "thread_" + "a" * 24
UNKNOWN_ARTIFACT = "art_" + "a" * 24
UNKNOWN_FILE = "file-" + "a" * 24
ANSWERS = {"answers": {"x": {"action": "approve"}}}
INPUT = {"input": {"messages": [{"role": "user", "content": "Hi"}]}}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND")


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a tenant has."""

    run: str
    thread: str
    agui_thread: str


@pytest.fixture(scope="module", autouse=True)
async def nothing_breaks(platform: Platform) -> AsyncIterator[None]:
    async with unbroken(platform):
        yield


@pytest.fixture(scope="module")
async def owner(stack: Stack) -> Tenant:
    return await stack.database.tenant()


@pytest.fixture(scope="module")
async def http(platform: Platform, owner: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(owner) as http:
        yield http


@pytest.fixture(scope="module")
async def stranger(stack: Stack, platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.edge.client(await stack.database.tenant()) as http:
        yield http


@pytest.fixture(scope="module")
async def own(http: httpx.AsyncClient) -> Belongings:
    thread = (await http.post("/v1/threads")).json()["id"]
    response = await http.post(f"/v1/threads/{thread}/runs", json=INPUT)
    await http.post("/v1/agents/chat/ag-ui", json=agui("mine"))
    newest = (await http.get("/v1/threads")).json()["data"][0]
    assert newest["metadata"] == {"ag_ui_thread_id": "mine"}
    return Belongings(response.headers["x-dormouse-run-id"], thread, newest["id"])


def agui(thread: str, text: str = "Hi") -> dict[str, Any]:
    return {"threadId": thread, "runId": "r", "messages": [{"id": "m", "role": "user", "content": text}]}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/runs/{run}", None),
        ("GET", "/v1/runs/{run}/events", None),
        ("GET", "/v1/runs/{run}/events?after=3", None),
        ("GET", "/v1/runs/{run}/trace", None),
        ("GET", "/v1/runs/{run}/trace?format=text", None),
        ("POST", "/v1/runs/{run}/cancel", None),
        ("POST", "/v1/runs/{run}/resume", ANSWERS),
        ("GET", "/v1/threads/{thread}", None),
        ("GET", "/v1/threads/{thread}/state", None),
        ("GET", "/v1/threads/{thread}/runs", None),
        ("POST", "/v1/threads/{thread}/runs", INPUT),
        ("POST", "/v1/threads/{thread}/runs", {**INPUT, "background": True}),
        ("PATCH", "/v1/threads/{thread}", {"metadata": {"a": "b"}}),
        ("DELETE", "/v1/threads/{thread}", None),
    ],
)
async def test_what_is_somebody_elses_is_what_never_was(
    http: httpx.AsyncClient, stranger: httpx.AsyncClient, own: Belongings, method: str, path: str, body: Any
) -> None:
    shown = []
    for run, thread in ((own.run, own.thread), (own.run, own.agui_thread), (UNKNOWN_RUN, UNKNOWN_THREAD)):
        response = await stranger.request(method, path.format(run=run, thread=thread), json=body)
        error = error_of(Answer.of(response), 404)
        assert error["code"] == ("run_not_found" if "{run}" in path else "thread_not_found")
        headers = {name for name in response.headers if name != "date"}
        shown.append((response.text.replace(run, "").replace(thread, ""), headers))
    assert shown[0] == shown[1] == shown[2]
    assert (await http.get(f"/v1/threads/{own.thread}")).json()["metadata"] == {}
    assert (await http.get(f"/v1/runs/{own.run}")).json()["status"] == "completed"


async def test_another_tenants_thread_cannot_be_gone_on_with_under_its_name(
    http: httpx.AsyncClient, stranger: httpx.AsyncClient, own: Belongings
) -> None:
    before = (await http.get(f"/v1/threads/{own.agui_thread}/state")).json()
    for name in ("mine", own.thread, own.agui_thread):
        response = await stranger.post("/v1/agents/chat/ag-ui", json=agui(name, "What was said here?"))
        fine_or_refused(Answer.of(response))
    assert (await http.get(f"/v1/threads/{own.agui_thread}/state")).json() == before
    theirs = {thread["id"] for thread in (await stranger.get("/v1/threads")).json()["data"]}
    assert len(theirs) == 3
    assert not theirs & {own.thread, own.agui_thread}


NO_IDS = (
    "x",
    "-1",
    "0",
    "null",
    "run_",
    "thread_x",
    "{run_id}",
    "run_" + "a" * 23,
    "run_" + "a" * 25,
    "RUN_" + "a" * 24,
    "run_" + "a" * 23 + "%0A",
    "run_" + "a" * 24 + "%0A",
    "run_" + "a" * 24 + "%00",
    "a" * 5000,
    "%00",
    "%0A",
    "%FF",
    "%C0%AF",
    "%25%30%30",
    "%2e%2e",
    "..%2F..%2Fetc%2Fpasswd",
    "%27%20or%201=1--",
    "'",
    "*",
    "é",
    "🐭",
)


@pytest.mark.parametrize("name", NO_IDS, ids=lambda name: name[:12])
async def test_an_id_that_cannot_be_one_is_not_found(http: httpx.AsyncClient, name: str) -> None:
    for path in ("/v1/runs/{}", "/v1/runs/{}/events", "/v1/threads/{}", "/v1/threads/{}/state", "/v1/threads/{}/runs"):
        error_of(Answer.of(await http.get(path.format(name))), 404)
    for path in ("", "/versions", "/versions/1", "/compare?from=1", "/content"):
        error_of(Answer.of(await http.get(f"/v1/artifacts/{name}{path}")), 404)
    error_of(Answer.of(await http.post(f"/v1/artifacts/{name}/restore", json={"version": 1})), 404)
    error_of(Answer.of(await http.get(f"/v1/agents/{name}")), 404)
    error_of(Answer.of(await http.get(f"/v1/runs/{name}/trace")), 404)
    error_of(Answer.of(await http.post(f"/v1/runs/{name}/resume", json=ANSWERS)), 404)
    error_of(Answer.of(await http.post(f"/v1/runs/{name}/cancel")), 404)
    error_of(Answer.of(await http.post(f"/v1/threads/{name}/runs", json=INPUT)), 404)
    error_of(Answer.of(await http.patch(f"/v1/threads/{name}", json={"metadata": {}})), 404)
    error_of(Answer.of(await http.delete(f"/v1/threads/{name}")), 404)
    error_of(Answer.of(await http.get(f"/v1/models/{name}")), 404)
    error_of(Answer.of(await http.post(f"/v1/agents/{name}/ag-ui", json=agui("t"))), 404)
    error_of(Answer.of(await http.get(f"/health/{name}")), 404)


POSITIONS = ("-1", "1.5", "x", "0x10", "1e3", "1 2", "1,2", "null", "True", str(2**63), "9" * 5000, "--", "'")


@pytest.mark.parametrize("position", POSITIONS, ids=lambda position: position[:12])
async def test_a_position_that_is_none_is_refused(http: httpx.AsyncClient, own: Belongings, position: str) -> None:
    path = f"/v1/runs/{own.run}/events"
    error = error_of(Answer.of(await http.get(path, headers={"last-event-id": position})), 400)
    assert error["param"].lower() == "last-event-id"
    assert error_of(Answer.of(await http.get(path, params={"after": position})), 400)["param"] == "after"


@pytest.mark.parametrize("digits", ["\N{ARABIC-INDIC DIGIT THREE}", "\N{FULLWIDTH DIGIT ONE}", "²", "\xa0"])
async def test_digits_of_other_scripts_are_no_position(http: httpx.AsyncClient, own: Belongings, digits: str) -> None:
    path = f"/v1/runs/{own.run}/events"
    for position in (digits.encode(), b"\xff", b"1\x80"):
        error_of(Answer.of(await http.get(path, headers={b"last-event-id": position})), 400)
    error_of(Answer.of(await http.get(path, params={"after": digits})), 400)


async def test_positions_behind_the_end_are_answered_with_nothing_more(
    http: httpx.AsyncClient, own: Belongings
) -> None:
    path = f"/v1/runs/{own.run}/events"
    for position in ("999", str(10**17)):
        assert (await http.get(path, headers={"last-event-id": position})).text == ""
        assert (await http.get(path, params={"after": position})).text == ""
    whole = (await http.get(path)).text
    assert (await http.get(path, params={"after": "0"})).text == whole
    assert (await http.get(path, headers={"last-event-id": "0"})).text == whole
    assert (await http.get(path, headers={"last-event-id": ""})).text == whole


NO_PAGES = (
    "limit=",
    "limit=0",
    "limit=101",
    "limit=-1",
    "limit=x",
    "limit=1.5",
    "limit=1e2",
    "limit=%00",
    "limit=%D9%A3x",
    "limit=" + "9" * 5000,
    "limit=1&limit=x",
    "after=" + "x" * 300,
)


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/threads", "/v1/threads/{thread}/runs", "/v1/artifacts"])
@pytest.mark.parametrize("query", NO_PAGES, ids=lambda query: query[:14])
async def test_a_page_that_cannot_be_is_refused(
    http: httpx.AsyncClient, own: Belongings, path: str, query: str
) -> None:
    answer = Answer.of(await http.get(f"{path.format(thread=own.thread)}?{query}"))
    assert error_of(answer, 400)["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "query", ["after=%00", "after=x", "after=", "after=%FF", "after=" + UNKNOWN_RUN, "x=%00&%FF=%"]
)
async def test_a_page_behind_what_is_not_there_is_empty(http: httpx.AsyncClient, query: str) -> None:
    for path in ("/v1/runs", "/v1/threads", "/v1/artifacts"):
        response = await http.get(f"{path}?{query}")
        assert response.status_code == 200
        assert query.startswith("x=") or response.json()["data"] == []


@pytest.mark.parametrize("status", ["nonsense", "Running", "%00", "running,failed", ""])
async def test_a_state_that_is_none_is_refused(http: httpx.AsyncClient, status: str) -> None:
    assert error_of(Answer.of(await http.get(f"/v1/runs?status={status}")), 400)["param"] == "status"


async def test_a_wrong_method_is_refused_and_the_right_ones_named(
    http: httpx.AsyncClient, platform: Platform, own: Belongings
) -> None:
    document = (await http.get("/openapi.json")).json()
    for template, operations in document["paths"].items():
        allowed = {method.upper() for method in operations}
        names = {"thread_id": own.thread, "run_id": own.run, "artifact_id": UNKNOWN_ARTIFACT, "version": 1}
        names |= {"file_id": UNKNOWN_FILE, "chunk_id": "chunk-1", "model": "chat", "agent_id": "chat"}
        names["component"] = "redis"
        path = template.format_map(defaultdict(lambda: "unknown", names))
        for method in METHODS:
            if method in allowed:
                continue
            response = await http.request(method, path)
            assert set(response.headers["allow"].split(", ")) == allowed, f"{method} {path}"
            if method == "HEAD":
                assert (response.status_code, response.content) == (405, b"")
            else:
                assert error_of(Answer.of(response), 405)["code"] == "method_not_allowed"


NO_KEYS = (
    b"",
    b"Bearer",
    b"Bearer a b",
    b"Bearer Bearer x",
    b"Bearer \xff\xfe",
    b"bearer\x80",
    b"Bearer " + b"x" * 20_000,
    b"Bearer dm_live_" + b"0" * 49,
    "Bearer dm_live_é".encode(),
    b"Basic YTpi",
    b"Token x",
)


@pytest.mark.parametrize("authorization", NO_KEYS, ids=lambda header: header[:18].decode("latin-1"))
async def test_what_is_no_key_authenticates_nobody(platform: Platform, authorization: bytes) -> None:
    async with platform.edge.client() as http:
        response = await http.get("/v1/models", headers={b"authorization": authorization})
    assert error_of(Answer.of(response), 401)["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert authorization.decode("latin-1") not in response.text or len(authorization) < 8
