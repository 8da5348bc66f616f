"""Artifacts over the API: listed, read, compared, restored, downloaded without running, and nobody else's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract.scripted_edge import ScriptedEdge, ask, parse
from tests.stack import Stack, Tenant


@pytest.fixture
def bench(scripted: ScriptedEdge) -> ScriptedEdge:
    return scripted


@pytest.fixture
async def http(bench: ScriptedEdge, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with bench.edge.client(tenant) as http:
        yield http


async def written(http: httpx.AsyncClient, *lines: str) -> tuple[str, str]:
    """A thread, and an artifact on it with one version for each line."""
    thread = (await http.post("/v1/threads")).json()["id"]
    for line in lines:
        response = await http.post(f"/v1/threads/{thread}/runs", json={"agent": "writing", "input": ask(line)})
        names = [name for _, name, _ in parse(response.text)]
        assert names.index("artifact.delta") < names.index("artifact.saved") < names.index("run.finished")
    (artifact,) = (await http.get("/v1/artifacts", params={"thread_id": thread})).json()["data"]
    return thread, artifact["id"]


async def test_an_artifact_has_all_its_versions(http: httpx.AsyncClient) -> None:
    thread, name = await written(http, "one", "two")
    path = f"/v1/artifacts/{name}"
    latest = (await http.get(path)).json()
    assert latest["content"] == "<script>\none\ntwo"
    assert (latest["version"], latest["latest_version"], latest["thread_id"]) == (2, 2, thread)
    assert (latest["title"], latest["media_type"], latest["size_bytes"]) == ("Notes: <b>ü</b>", "text/html", 16)
    first = (await http.get(f"{path}/versions/1")).json()
    assert (first["content"], first["version"], first["latest_version"]) == ("<script>\none", 1, 2)
    versions = (await http.get(f"{path}/versions", params={"limit": 1})).json()
    assert ([about["version"] for about in versions["data"]], versions["has_more"]) == ([2], True)
    rest = (await http.get(f"{path}/versions", params={"before": versions["last_version"]})).json()
    assert ([about["version"] for about in rest["data"]], rest["has_more"]) == ([1], False)
    assert "content" not in rest["data"][0]


async def test_versions_are_compared_and_restored(http: httpx.AsyncClient) -> None:
    _, name = await written(http, "one", "--- two", "three")
    path = f"/v1/artifacts/{name}"
    compared = (await http.get(f"{path}/compare", params={"from": 1})).json()
    assert (compared["from_version"], compared["to_version"]) == (1, 3)
    assert (compared["added_lines"], compared["removed_lines"]) == (2, 0)
    assert "+--- two\n+three" in compared["diff"]
    back = (await http.get(f"{path}/compare", params={"from": 3, "to": 2})).json()
    assert (back["added_lines"], back["removed_lines"]) == (0, 1)
    same = (await http.get(f"{path}/compare", params={"from": 2, "to": 2})).json()
    assert (same["added_lines"], same["removed_lines"], same["diff"]) == (0, 0, "")
    restored = (await http.post(f"{path}/restore", json={"version": 1})).json()
    assert (restored["version"], restored["restored_from"], restored["content"]) == (4, 1, "<script>\none")
    assert (await http.post(f"{path}/restore", json={"version": 1})).json()["version"] == 4


async def test_artifacts_are_listed_newest_first_by_page_and_by_thread(http: httpx.AsyncClient) -> None:
    made = [await written(http, "one") for _ in range(3)]
    page = (await http.get("/v1/artifacts", params={"limit": 2})).json()
    assert [about["id"] for about in page["data"]] == [made[2][1], made[1][1]]
    rest = (await http.get("/v1/artifacts", params={"after": page["last_id"]})).json()
    assert ([about["id"] for about in rest["data"]], rest["has_more"]) == ([made[0][1]], False)
    for params in ({"after": "nonsense"}, {"thread_id": "nonsense"}, {"thread_id": "\0"}):
        assert (await http.get("/v1/artifacts", params=params)).json()["data"] == []


async def test_a_download_is_a_file_that_no_browser_runs(http: httpx.AsyncClient) -> None:
    _, name = await written(http, "one", "two")
    response = await http.get(f"/v1/artifacts/{name}/content")
    assert response.text == "<script>\none\ntwo"
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    disposition = response.headers["content-disposition"]
    assert disposition == "attachment; filename=\"Notes b _ b.html\"; filename*=UTF-8''Notes%20b%20%C3%BC%20b.html"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in policy
    older = await http.get(f"/v1/artifacts/{name}/content", params={"version": 1})
    assert older.text == "<script>\none"


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "", {}),
        ("GET", "/versions", {}),
        ("GET", "/versions/1", {}),
        ("GET", "/content", {}),
        ("GET", "/compare?from=1", {}),
        ("POST", "/restore", {"json": {"version": 1}}),
    ],
)
async def test_another_tenants_artifact_is_as_unknown_as_what_never_was(
    bench: ScriptedEdge, stack: Stack, http: httpx.AsyncClient, method: str, path: str, options: dict[str, Any]
) -> None:
    _, known = await written(http, "one")
    async with bench.edge.client(await stack.database.tenant()) as stranger:
        for name in (known, "art_" + "a" * 24, "nonsense"):
            response = await stranger.request(method, f"/v1/artifacts/{name}{path}", **options)
            assert (response.status_code, response.json()["error"]["code"]) == (404, "artifact_not_found")
        assert (await stranger.get("/v1/artifacts")).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/versions/7", {}, 404),
        ("GET", "/versions/0", {}, 400),
        ("GET", "/versions/first", {}, 400),
        ("GET", f"/versions/{2**40}", {}, 400),
        ("GET", "/compare", {}, 400),
        ("GET", "/compare?from=1&to=9", {}, 404),
        ("GET", "/content?version=9", {}, 404),
        ("POST", "/restore", {"json": {"version": 9}}, 404),
        ("POST", "/restore", {"json": {"version": "1"}}, 400),
        ("POST", "/restore", {}, 400),
    ],
)
async def test_versions_that_are_not_there_are_refused(
    http: httpx.AsyncClient, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    _, name = await written(http, "one")
    assert (await http.request(method, f"/v1/artifacts/{name}{path}", **options)).status_code == status
