"""One declaration: the headers of RFC 9745 and RFC 8594, and the mark in the OpenAPI document."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from edge.app import create_app
from edge.deprecation import Deprecation, mark
from edge.settings import Settings

OLD = Deprecation(
    "/v1/threads/{id}",
    since=datetime(2026, 1, 1, tzinfo=UTC),
    sunset=datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    about="https://docs.example.org/threads",
    successor="/v2/threads",
)


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        ("/v1/threads/t1", True),
        ("/v1/threads/{thread_id}", True),
        ("/v1/threads/t1/runs", True),
        ("/v1/threads", False),
        ("/v1/threadsx/t1", False),
        ("/v10/threads/t1", False),
        ("/", False),
    ],
)
def test_a_path_and_all_below_it(path: str, covered: bool) -> None:
    assert OLD.covers(path) is covered


def test_what_makes_no_sense_is_refused() -> None:
    for since, sunset in (
        (datetime(2026, 1, 1), None),  # noqa: DTZ001 - that is what is wrong with it
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises(ValueError, match="/v1"):
            Deprecation("/v1", since=since, sunset=sunset)


async def test_answers_below_it_carry_the_headers_errors_too(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p" * 32)
    settings = Settings(
        agent_target="127.0.0.1:1",
        service_key=tmp_path / "secret",
        key_pepper=tmp_path / "secret",
        postgres_url="postgresql://h/d",
        redis_url="redis://h",
        ip_requests_per_minute=0,
    )
    app = create_app(settings, deprecations=[OLD])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        response = await http.get("/v1/threads/t1/nothing")
        assert response.status_code == 404
        assert response.headers["deprecation"] == "@1767225600"
        assert response.headers["sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
        assert response.headers.get_list("link") == [
            '<https://docs.example.org/threads>; rel="deprecation"; type="text/html"',
            '</v2/threads>; rel="successor-version"',
        ]
        assert "deprecation" not in (await http.get("/healthz")).headers
        document = (await http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("deprecated", False) is path.startswith("/v1/threads/{"), path
    told = document["paths"]["/v1/threads/{thread_id}"]["get"]
    assert "gone from 2027-01-01 on; use `/v2/threads`" in told["description"]
    assert {"deprecation", "sunset"} <= set(told["responses"]["200"]["headers"])


def test_nothing_deprecated_changes_nothing() -> None:
    document: dict[str, Any] = {"paths": {"/v1/models": {"get": {"responses": {"200": {}}}}}}
    mark(document, [])
    assert document == {"paths": {"/v1/models": {"get": {"responses": {"200": {}}}}}}
