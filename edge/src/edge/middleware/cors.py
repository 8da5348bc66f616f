"""Cross-Origin Resource Sharing: which web pages of other origins may read our answers (the Fetch standard)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.errors import ApiError
from edge.origins import ANY
from edge.request_context import context_of

PREFLIGHT_KEPT_S: Final = 7200
"""As long as Chromium keeps an answer to a preflight at most."""

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
EXPOSED: Final = (
    b"x-request-id, x-dormouse-run-id, x-dormouse-resume, x-should-retry, retry-after, retry-after-ms,"
    b" x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests,"
    b" x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens,"
    b" location, content-disposition, content-range, etag, idempotent-replayed, mcp-session-id,"
    b" deprecation, sunset, link, www-authenticate"
)

_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_NAMES_LIMIT: Final = 4096


class CorsMiddleware:
    """Answers preflights, and lets pages of the chosen origins read what others are answered.

    `elsewhere` names the origins of some paths; `origins` those of all others. No page gets the browser to send along
    what it knows of us (cookies), unless `credentials`: pages add keys and tokens themselves.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: Sequence[str],
        *,
        credentials: bool = False,
        elsewhere: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._elsewhere = {
            path: frozenset(origin.encode() for origin in chosen) for path, chosen in (elsewhere or {}).items()
        }
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = self._elsewhere.get(scope["path"], self._origins) if scope["type"] == "http" else None
        if not origins:
            await self._app(scope, receive, send)
            return
        asked = {name: value for name, value in scope["headers"] if name in _ASKING}
        origin = asked.get(b"origin")
        allowed = self._allowed(origin, origins)
        if scope["method"] == "OPTIONS" and origin is not None and b"access-control-request-method" in asked:
            answer = _preflight(allowed, asked.get(b"access-control-request-headers", b""))
            await answer(scope, receive, send)
            return
        if allowed:
            allowed.append((b"access-control-expose-headers", EXPOSED))
        if ANY.encode() not in origins:
            allowed.append((b"vary", b"origin"))  # also for those who come without one: a cache may stand between
        context_of(scope).answer_headers.extend(allowed)
        await self._app(scope, receive, send)

    def _allowed(self, origin: bytes | None, origins: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
        if origin is None:
            return []
        if ANY.encode() in origins:
            return [(b"access-control-allow-origin", b"*")]
        if origin not in origins:
            return []
        headers = [(b"access-control-allow-origin", origin)]
        if self._credentials:
            headers.append((b"access-control-allow-credentials", b"true"))
        return headers


_ASKING: Final = frozenset({b"origin", b"access-control-request-method", b"access-control-request-headers"})


def _preflight(allowed: list[tuple[bytes, bytes]], wanted: bytes) -> Response:
    vary = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
    if not allowed:
        answer = ApiError(
            403, "Web pages of this origin may not use this API.", type="permission_error", code="origin_not_allowed"
        ).response()
        answer.raw_headers.append(vary)
        return answer
    answer = Response(status_code=204)
    answer.raw_headers = [*allowed, (b"access-control-allow-methods", METHODS), vary]
    answer.raw_headers.append((b"access-control-max-age", b"%d" % PREFLIGHT_KEPT_S))
    # All that are asked for: clients bring many of their own, and none changes what the credential may do.
    if len(wanted) <= _NAMES_LIMIT and _NAMES.fullmatch(wanted):
        answer.raw_headers.append((b"access-control-allow-headers", wanted))
    return answer
