"""Parts of the API that are on their way out: one declaration makes the headers and the mark in the document."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from .request_context import context_of


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A path and all below it, deprecated since a moment that may be yet to come (both moments in UTC)."""

    path: str
    """For instance `/v1`, or `/v1/threads`; a placeholder stands for one segment: `/v1/agents/{id}/ag-ui`."""
    since: datetime
    sunset: datetime | None = None
    """When it will no longer answer."""
    about: str = ""
    """URL of a page about it."""
    successor: str = ""
    """Path of what takes its place."""

    def __post_init__(self) -> None:
        for moment in (self.since, self.sunset):
            if moment is not None and moment.utcoffset() is None:
                raise ValueError(f"{self.path}: a moment needs its time zone")
        if self.sunset is not None and self.sunset < self.since:
            raise ValueError(f"{self.path}: RFC 9745 has the sunset not before the deprecation")

    def covers(self, path: str) -> bool:
        """Whether a request's path, or a route's template, is the one or below it."""
        own, other = self.path.strip("/").split("/"), path.strip("/").split("/")
        return len(other) >= len(own) and all(
            mine == its or mine.startswith("{") for mine, its in zip(own, other, strict=False)
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`Deprecation` (RFC 9745), `Sunset` and `Link` (RFC 8594, RFC 8288, RFC 5829)."""
        headers = [(b"deprecation", b"@%d" % int(self.since.timestamp()))]
        if self.sunset is not None:
            date = format_datetime(self.sunset.astimezone(UTC), usegmt=True)
            headers.append((b"sunset", date.encode()))
        if self.about:
            headers.append((b"link", f'<{self.about}>; rel="deprecation"; type="text/html"'.encode()))
        if self.successor:
            headers.append((b"link", f'<{self.successor}>; rel="successor-version"'.encode()))
        return headers

    def sentence(self) -> str:
        """For people who read the document."""
        text = f"Deprecated since {self.since:%Y-%m-%d}"
        if self.sunset is not None:
            text += f", gone from {self.sunset:%Y-%m-%d} on"
        text += f"; use `{self.successor}`." if self.successor else "."
        return f"{text} See {self.about}." if self.about else text


DEPRECATIONS: Final[Sequence[Deprecation]] = ()
"""Those of this version. The one that says most about a path comes first."""


class DeprecationMiddleware:
    """Puts the headers on every answer below a deprecated path, errors too."""

    def __init__(self, app: ASGIApp, deprecations: Sequence[Deprecation]) -> None:
        self._app = app
        self._deprecations = [(deprecation, deprecation.headers()) for deprecation in deprecations]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for deprecation, headers in self._deprecations:
                if deprecation.covers(scope["path"]):
                    context_of(scope).answer_headers.extend(headers)
                    break
        await self._app(scope, receive, send)


def mark(document: dict[str, Any], deprecations: Sequence[Deprecation]) -> None:
    """Marks the operations of an OpenAPI document, in place."""
    for path, operations in document["paths"].items():
        found = next((deprecation for deprecation in deprecations if deprecation.covers(path)), None)
        if found is None:
            continue
        for operation in operations.values():
            operation["deprecated"] = True
            operation["description"] = f"{found.sentence()}\n\n{operation.get('description', '')}".strip()
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["deprecation"] = {"schema": {"type": "string"}, "description": "Since when (RFC 9745)."}
                if found.sunset is not None:
                    headers["sunset"] = {"schema": {"type": "string"}, "description": "From when on it is gone."}
