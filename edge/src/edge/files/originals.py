"""The originals of files, in a local folder or in an S3-compatible object store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge.errors import ApiError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART_BYTES: Final = 5 * 1024 * 1024
"""The least that S3 takes as a part of an upload."""

PARTS_AT_ONCE: Final = 2
"""So an upload holds at most three parts in memory."""

READ_BYTES: Final = 256 * 1024

_S3: Final = "s3://"
# No tenant's: see _key.
_IDENTITY: Final = ".dormouse-store"


class StorageAwayError(ApiError):
    """The store does not answer, or refuses us."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The store of files does not answer; try again shortly.",
            type="server_error",
            code="storage_unavailable",
            headers={"x-should-retry": "true", "retry-after": "2"},
        )


class OriginalMissingError(Exception):
    """There are no bytes under this key."""


class Originals:
    """Bytes by tenant and file id; what a client calls a file never becomes part of a path.

    An original is there whole or not at all. Reading and writing hold a bounded part of it in memory. Every method
    raises StorageAwayError when the store does not answer.
    """

    def __init__(self, place: str) -> None:
        """place: a folder, which is made when it is first needed, or `s3://bucket/prefix`; there endpoint, region and
        credentials come from the variables that AWS' own tools read. Nothing is opened before it is needed."""
        self.place = place
        self._store: ObjectStore | None = None

    async def put(self, tenant: str, file_id: str, content: AsyncIterator[bytes]) -> None:
        """Keeps what `content` yields. When that raises, nothing is kept. Do not cancel it: let `content` raise.

        A cancelled upload to S3 would leave parts behind, which nobody sees and somebody pays for.
        """
        store = self._opened()
        from obstore import put_async

        with _translated():
            await put_async(
                store,
                _key(tenant, file_id),
                content,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    async def read(self, tenant: str, file_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Opens an original from byte `start` to before byte `end`. Raises OriginalMissingError at once."""
        store = self._opened()
        from obstore import get_async

        options: Any = None
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        with _translated():
            answer = await get_async(store, _key(tenant, file_id), options=options)
        return _pieces(answer)

    async def delete(self, tenant: str, file_id: str) -> None:
        """Drops an original, and what an upload that was killed has left of it. One that is not there is dropped."""
        store = self._opened()
        from obstore import delete_async

        with suppress(OriginalMissingError), _translated():
            await delete_async(store, _key(tenant, file_id))
        if not self.place.startswith(_S3):
            await asyncio.to_thread(_drop_leftovers, Path(self.place) / tenant, file_id)

    async def identity(self, candidate: str = "") -> str:
        """The id that the store has given itself; where it has none yet, the candidate from now on."""
        store = self._opened()
        from obstore import get_async, put_async
        from obstore.exceptions import AlreadyExistsError

        with _translated():
            with suppress(FileNotFoundError):
                return bytes(await (await get_async(store, _IDENTITY)).bytes_async()).decode("ascii", "replace")
            try:
                await put_async(store, _IDENTITY, candidate.encode(), mode="create")
            except AlreadyExistsError:  # another replica's, in this moment
                return bytes(await (await get_async(store, _IDENTITY)).bytes_async()).decode("ascii", "replace")
        return candidate

    async def probe(self) -> None:
        """Finds out whether the store answers."""
        store = self._opened()
        from obstore import head_async

        with suppress(OriginalMissingError), _translated():
            await head_async(store, _IDENTITY)

    def _opened(self) -> ObjectStore:
        if self._store is None:
            self._store = _open(self.place)
        return self._store


def _open(place: str) -> ObjectStore:
    # Here, because it is not needed before the first file comes.
    from obstore.store import LocalStore, S3Store

    if not place.startswith(_S3):
        with _translated():
            Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
            return LocalStore(place)
    bucket, _, prefix = place.removeprefix(_S3).partition("/")
    # Without an endpoint of the operator's it is https anyway.
    return S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        client_options={"allow_http": True, "connect_timeout": timedelta(seconds=3)},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=8)},
    )


def _key(tenant: str, file_id: str) -> str:
    return f"{tenant}/{file_id}"


def _drop_leftovers(folder: Path, file_id: str) -> None:
    for leftover in folder.glob(f"{file_id}#*"):
        leftover.unlink(missing_ok=True)


async def _pieces(answer: Any) -> AsyncIterator[bytes]:
    with _translated():
        async for piece in answer.stream(min_chunk_size=READ_BYTES):
            yield bytes(piece)


class _translated:  # noqa: N801 - reads as a sentence
    """Turns the store's errors into ours. An iterator's own errors pass."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, ApiError):
            return
        from obstore.exceptions import BaseError

        if isinstance(error, FileNotFoundError):
            raise OriginalMissingError from error
        if isinstance(error, (BaseError, OSError, TimeoutError)):
            raise StorageAwayError from error
