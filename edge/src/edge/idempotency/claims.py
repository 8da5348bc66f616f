"""A request that is answered here on behalf of its key, and its answer as it is kept."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.responses import Response

from .request_key import RequestKey

SLOT: Final = "dormouse.claim"
"""Where the ASGI scope of a request with a key holds its Slot."""

REPLAYED: Final = (b"idempotent-replayed", b"true")


@dataclass(slots=True)
class Claim:
    """What is known of it."""

    tenant: str
    key: RequestKey
    digest: bytes
    run_id: str
    """Of the run that answers, if one does."""
    created_at: datetime
    """When the first request with the key came: what the answer says of its time."""
    follows: bool = False
    """Whether the run goes on already, and is to be followed rather than started."""
    has_started: bool = False
    """Whether there is a run: from then on what it says is the answer."""
    content: bytes | None = None
    """Of a form, once it is read."""


@dataclass(slots=True)
class Slot:
    """Made by the middleware for each request with a key, filled once it is known who asks."""

    claim: Claim | None = None


def claim_of(scope: MutableMapping[str, Any]) -> Claim | None:
    """The request's claim; None for a request without a key."""
    slot = scope.get(SLOT)
    return slot.claim if isinstance(slot, Slot) else None


class ReplayedAnswer(Exception):  # noqa: N818 - an answer, no error
    """The request was answered before; this is the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """Status, headers and body, as they were sent."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def to_bytes(self) -> bytes:
        """What `from_bytes` reads."""
        head = orjson.dumps(
            (self.status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers])
        )
        return len(head).to_bytes(4, "big") + head + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> "KeptAnswer":
        """The answer."""
        end = 4 + int.from_bytes(data[:4], "big")
        status, headers = orjson.loads(data[4:end])
        return cls(status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], data[end:])

    def response(self) -> Response:
        """To be sent again."""
        response = Response(self.body, self.status)
        response.raw_headers = [*self.headers, REPLAYED]
        return response
