"""What browsers are told: which pages may read answers (CORS), and what no answer may be used for."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from edge.client_address import parse_proxies
from edge.errors import ApiError
from edge.middleware.cors import CorsMiddleware
from edge.middleware.observe import ObserveMiddleware
from edge.middleware.security_headers import SecurityHeaders
from edge.origins import check_origin
from edge.untrusted import HEADERS as OF_STRANGERS
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

PAGE = "https://app.example.org"
INSPECTOR = "https://inspector.example.org"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    match scope["path"]:
        case "/crash":
            raise ZeroDivisionError
        case "/refused":
            await ApiError(401, "No.")(scope, receive, send)
        case "/file":
            await Response(b"x", headers={**OF_STRANGERS, "cache-control": "private, no-cache"})(scope, receive, send)
        case _:
            await JSONResponse({"method": scope["method"]})(scope, receive, send)


@asynccontextmanager
async def client(*origins: str, security: SecurityHeaders | None = None, **options: Any) -> AsyncIterator[Any]:
    cors = CorsMiddleware(application, origins, **options)
    transport = httpx.ASGITransport(ObserveMiddleware(cors, security or SecurityHeaders()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.example.org") as http:
        yield http


def access(response: httpx.Response) -> dict[str, str]:
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


async def test_without_a_list_nothing_is_said_and_nothing_answered() -> None:
    async with client() as http:
        response = await http.options("/", headers={"origin": PAGE, **PREFLIGHT})
        assert (access(response), response.json()) == ({}, {"method": "OPTIONS"})
        assert "vary" not in response.headers


async def test_a_page_on_the_list_may_ask_and_read() -> None:
    async with client(PAGE, "https://other.example.org") as http:
        response = await http.options("/", headers={"origin": PAGE, **PREFLIGHT})
        assert response.status_code == 204
        said = access(response)
        assert said["allow-origin"] == PAGE
        assert said["allow-headers"] == PREFLIGHT["access-control-request-headers"]
        assert "POST" in said["allow-methods"]
        assert "allow-credentials" not in said
        assert "origin" in response.headers["vary"]
        for path in ("/", "/refused", "/crash"):
            response = await http.get(path, headers={"origin": PAGE})
            said = access(response)
            assert said["allow-origin"] == PAGE
            assert {"x-request-id", "retry-after", "x-ratelimit-remaining-requests"} <= set(
                re.split(", ", said["expose-headers"])
            )
            assert response.headers["vary"] == "origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.org",
        "http://app.example.org",
        "https://app.example.org.evil.example",
        "https://xapp.example.org",
        "https://app.example.org:8443",
        "HTTPS://APP.EXAMPLE.ORG",
        "null",
        "*",
        "",
    ],
)
async def test_no_other_page_may(origin: str) -> None:
    async with client(PAGE) as http:
        response = await http.options("/", headers={"origin": origin, **PREFLIGHT})
        assert (response.status_code, access(response)) == (403, {})
        assert response.json()["error"]["code"] == "origin_not_allowed"
        response = await http.get("/", headers={"origin": origin})
        assert (response.status_code, access(response), response.headers["vary"]) == (200, {}, "origin")


async def test_a_cache_is_told_also_when_nobody_asked_across_origins() -> None:
    async with client(PAGE) as http:
        assert (await http.get("/")).headers["vary"] == "origin"


async def test_every_page_may_but_without_cookies() -> None:
    async with client("*", credentials=True) as http:
        said = access(await http.get("/", headers={"origin": "https://anybody.example"}))
        assert said["allow-origin"] == "*"
        assert "allow-credentials" not in said


async def test_cookies_come_along_only_where_that_is_wanted() -> None:
    async with client(PAGE, credentials=True) as http:
        assert access(await http.get("/", headers={"origin": PAGE}))["allow-credentials"] == "true"


async def test_a_path_can_have_pages_of_its_own() -> None:
    async with client(PAGE, elsewhere={"/mcp": [INSPECTOR]}) as http:
        for path, origin, allowed in (
            ("/mcp", INSPECTOR, True),
            ("/mcp", PAGE, False),
            ("/", INSPECTOR, False),
            ("/", PAGE, True),
        ):
            assert bool(access(await http.get(path, headers={"origin": origin}))) is allowed


async def test_names_of_headers_that_are_none_are_not_repeated() -> None:
    async with client(PAGE) as http:
        for wanted in ("x y", "x\x0by", "a," * 10, "x" * 5000):
            asked = {**PREFLIGHT, "access-control-request-headers": wanted}
            response = await http.options("/", headers={"origin": PAGE, **asked})
            assert "allow-headers" not in access(response)


async def test_an_ordinary_options_request_is_no_preflight() -> None:
    async with client(PAGE) as http:
        assert (await http.options("/", headers={"origin": PAGE})).json() == {"method": "OPTIONS"}


async def test_every_answer_says_what_it_may_not_be_used_for() -> None:
    async with client() as http:
        for path in ("/", "/refused", "/crash"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "strict-transport-security" not in headers


async def test_what_a_route_says_itself_stands_alone() -> None:
    async with client() as http:
        response = await http.get("/file")
        assert response.headers.get_list("content-security-policy") == [OF_STRANGERS["content-security-policy"]]
        assert response.headers.get_list("cache-control") == ["private, no-cache"]
        assert response.headers.get_list("x-content-type-options") == ["nosniff"]


async def test_tls_only_is_asked_for_over_tls_only() -> None:
    security = SecurityHeaders(parse_proxies(["127.0.0.1"]), hsts_s=600)
    async with client(security=security) as http:
        assert "strict-transport-security" not in (await http.get("/")).headers
        for response in (
            await http.get("https://api.example.org/"),
            await http.get("/", headers={"x-forwarded-proto": "https"}),
        ):
            assert response.headers["strict-transport-security"] == "max-age=600"


@pytest.mark.parametrize("word", ["app.example.org", "https://app.example.org/", "https://App.example.org", "null", ""])
def test_what_is_no_origin_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="wants origins such as"):
        check_origin(word)
