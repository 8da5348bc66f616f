"""The HTTP client of all tools. Strangers' addresses go through the guard; providers are the operator's choice."""

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from tool_fn.web.body import ACCEPT_ENCODING, read_body
from tool_fn.web.errors import FetchError, RefusedError
from tool_fn.web.guard import Guard, Target
from tool_fn.web.pinning import pinned_connector
from tool_fn.web.rules import Rules

if TYPE_CHECKING:
    import aiohttp

# Wikimedia's policy wants the program's name and whom to write to.
_USER_AGENT: Final = "Dormouse/0.1 ({})"
_ANONYMOUS: Final = "AI agent platform; asks on behalf of a user"
_MOST_REDIRECTS: Final = 5
_CONNECT_S: Final = 5.0
_KEEPALIVE_S: Final = 15.0
_READING: Final = frozenset({"GET", "HEAD"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# All that goes along to another site; the rest may be meant for the first one alone.
_HARMLESS: Final = frozenset({"accept", "accept-language"})
_OF_BODIES: Final = frozenset({"content-type", "idempotency-key"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. url: where it came from in the end. headers: names in lower case. is_cut: the body is longer."""

    url: str
    status: int
    body: bytes = field(repr=False)
    is_cut: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def header(self, name: str) -> str:
        """The header's value; "" where it is missing."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    only: Rules | None = None


class WebClient:
    """Opens nothing before its first request. Whoever makes it closes it."""

    def __init__(self, guard: Guard, max_bytes: int, tls: ssl.SSLContext | None = None, contact: str = "") -> None:
        """max_bytes: of a body, unpacked; what is longer is cut. tls: None for the system's certificates.

        contact: for the user agent: where the operator can be reached.
        """
        self._guard = guard
        self._max_bytes = max_bytes
        self._tls = tls
        self._user_agent = _USER_AGENT.format(contact or _ANONYMOUS)
        self._providers: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Closes the connections to providers. Requests that still run fail."""
        if self._providers is not None:
            await self._providers.close()

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        time_limit_s: float = 20.0,
        hosts: Sequence[str] | None = None,
    ) -> Answer:
        """Requests a URL that somebody named, whatever its answer's status is. headers: names in lower case. hosts:
        see tool.Call.

        Every address on the way is judged by the guard: RefusedError. FetchError for the rest. At most 5 redirects are
        followed, as browsers do; one that would repeat a POST at another site is not.
        """
        await _load_aiohttp()
        request = _Request(method, url, dict(headers or {}), body, None if hosts is None else Rules.only(hosts))
        async with _translated(url, time_limit_s):
            previous: Target | None = None
            for _ in range(_MOST_REDIRECTS + 1):
                target = await self._check(request, previous)
                if previous is not None and not _is_same_site(previous, target):
                    request = _without_secrets(request, target)
                async with self._open(request, target) as response:
                    location = response.headers.get("location", "")
                    if response.status not in _REDIRECTS or not location:
                        return await self._answer(response, target.url)
                    request = _redirected(request, response.status, urljoin(target.url, location))
                    previous = target
        raise FetchError(f"{url} redirects more than {_MOST_REDIRECTS} times.")

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        time_limit_s: float = 12.0,
    ) -> Answer:
        """Requests a provider's URL, which the operator configured: no guard, no redirects. Raises FetchError."""
        session = await self._provider_session()
        async with (
            _translated(url.partition("?")[0], time_limit_s),
            session.request(method, url, params=params, headers=headers, data=body, allow_redirects=False) as response,
        ):
            return await self._answer(response, url)

    async def _check(self, request: _Request, previous: Target | None) -> Target:
        try:
            target = await self._guard.check(request.url, request.only)
        except RefusedError as error:
            if previous is None:
                raise
            raise RefusedError(f"{previous.url} redirects to another address. {error}") from error
        except FetchError as error:
            # By then the first address has had the request.
            raise FetchError(str(error), is_sent=previous is not None) from error
        if previous is not None and request.method not in _READING and not _is_same_site(previous, target):
            raise FetchError(f"{previous.url} wants the request sent to {target.url} instead. Nothing was sent there.")
        return target

    @asynccontextmanager
    async def _open(self, request: _Request, target: Target) -> "AsyncIterator[aiohttp.ClientResponse]":
        import aiohttp
        import yarl

        url = yarl.URL(target.url)
        # The connection is pinned anyway; this keeps the Host header and TLS to the name that was judged.
        if (url.raw_host, url.port, url.scheme) != (target.host.strip("[]"), target.port, target.scheme):
            raise RefusedError("The URL can be read in more than one way.")
        async with (
            aiohttp.ClientSession(connector=pinned_connector(target, self._tls), **self._session_options()) as session,
            session.request(
                request.method, url, headers=request.headers, data=request.body, allow_redirects=False
            ) as response,
        ):
            yield response

    async def _answer(self, response: "aiohttp.ClientResponse", url: str) -> Answer:
        body = await read_body(response, self._max_bytes)
        if body.is_cut:
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(url, response.status, body.data, body.is_cut, headers)

    async def _provider_session(self) -> "aiohttp.ClientSession":
        async with self._opening:
            if self._providers is None:
                await _load_aiohttp()
                import aiohttp

                connector = aiohttp.TCPConnector(
                    keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=30, ssl=True if self._tls is None else self._tls
                )
                self._providers = aiohttp.ClientSession(connector=connector, **self._session_options())
            return self._providers

    def _session_options(self) -> dict[str, Any]:
        import aiohttp

        return {
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            "cookie_jar": aiohttp.DummyCookieJar(),
            "auto_decompress": False,
            "headers": {"user-agent": self._user_agent, "accept-encoding": ACCEPT_ENCODING},
            "trust_env": False,
        }


async def _load_aiohttp() -> None:
    """Its import takes 0.2 s and reads certificates, which calls that run should not feel."""
    await asyncio.to_thread(importlib.import_module, "aiohttp")


@asynccontextmanager
async def _translated(url: str, time_limit_s: float) -> AsyncIterator[None]:
    """The time limit, and the library's exceptions as sentences."""
    import aiohttp

    try:
        async with asyncio.timeout(time_limit_s):
            yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise FetchError(f"The certificate of {url} is not valid.", is_sent=False) from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientSSLError) as error:
        raise FetchError(f"No connection to {url} can be made.", is_sent=False) from error
    except TimeoutError as error:
        raise FetchError(f"{url} did not answer within {time_limit_s:g} s.") from error
    except (aiohttp.InvalidURL, ValueError) as error:
        raise RefusedError("The URL or a header is not valid.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise FetchError(f"{url} broke off the connection or did not answer with valid HTTP.") from error


def _redirected(request: _Request, status: int, url: str) -> _Request:
    """The next request. 307 and 308 keep everything; the others turn all but HEAD into GET, as browsers do."""
    if status in (307, 308) or (status != 303 and request.method in _READING):
        return replace(request, url=url)
    headers = {name: value for name, value in request.headers.items() if name not in _OF_BODIES}
    method = "HEAD" if request.method == "HEAD" else "GET"
    return replace(request, method=method, url=url, headers=headers, body=None)


def _without_secrets(request: _Request, target: Target) -> _Request:
    headers = {name: value for name, value in request.headers.items() if name in _HARMLESS}
    return replace(request, url=target.url, headers=headers)


def _is_same_site(first: Target, second: Target) -> bool:
    """Whether two targets are one origin, or the same host's step from http to https."""
    upgraded = (first.scheme, first.port, second.scheme, second.port) == ("http", 80, "https", 443)
    return first.origin == second.origin or (upgraded and first.host == second.host)
