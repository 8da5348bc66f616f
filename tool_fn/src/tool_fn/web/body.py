"""Reads a body within a limit of bytes, on the wire and unpacked."""

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tool_fn.web.errors import FetchError

if TYPE_CHECKING:
    import aiohttp

ACCEPT_ENCODING = "gzip, deflate"


@dataclass(frozen=True, slots=True)
class Body:
    """The first bytes of a body; `is_cut` when there was more."""

    data: bytes
    is_cut: bool = False


async def read_body(response: "aiohttp.ClientResponse", limit: int) -> Body:
    """At most `limit` bytes, unpacked. Raises FetchError for a packing that is unknown or broken."""
    unpack = _unpacker(response.headers.get("content-encoding", ""))
    parts: list[bytes] = []
    length = received = 0
    while data := await response.content.readany():
        received += len(data)
        # One byte more than there may be says that there is more.
        part = data if unpack is None else unpack(data, limit + 1 - length)
        parts.append(part)
        length += len(part)
        if length > limit or received > limit:
            return Body(b"".join(parts)[:limit], is_cut=True)
    return Body(b"".join(parts))


class _Unpacker:
    """gzip or deflate, with or without zlib's head, which servers have never agreed on."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._inflate = zlib.decompressobj(window)
        self._is_fresh = True

    def __call__(self, data: bytes, most: int) -> bytes:
        try:
            return self._inflate.decompress(data, most)
        except zlib.error as error:
            if self._window != zlib.MAX_WBITS or not self._is_fresh:
                raise FetchError("The answer is packed in a way that cannot be read.") from error
        finally:
            self._is_fresh = False
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            return self._inflate.decompress(data, most)
        except zlib.error as error:
            raise FetchError("The answer is packed in a way that cannot be read.") from error


def _unpacker(encoding: str) -> _Unpacker | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Unpacker(zlib.MAX_WBITS | 16)
        case "deflate":
            return _Unpacker(zlib.MAX_WBITS)
    raise FetchError("The answer is packed in a way that cannot be read.")
