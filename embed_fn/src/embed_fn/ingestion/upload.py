"""A file's bytes as they come, in a temporary file without a name: nothing remains of it, whatever happens."""

import asyncio
import hashlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError

from embed_fn import errors
from embed_fn.ingestion.records import Announced

_logger = logging.getLogger(__name__)
_SILENCE_S: Final = 30.0


class Upload:
    """One file. sha256, size_bytes: of what has come so far."""

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @classmethod
    @contextmanager
    def open(cls, most_bytes: int) -> Iterator["Upload"]:
        """An empty one, in the folder that TMPDIR names. Errors: OVERLOADED where there is no place for it."""
        try:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the next statement is one
        except OSError as error:
            raise _no_room(error) from error
        with file:
            yield cls(file, most_bytes)

    @property
    def sha256(self) -> str:
        """Lower-case hex."""
        return self._hash.hexdigest()

    @property
    def path(self) -> Path:
        """Where this process, and its children, can open the file."""
        number = self._file.fileno()
        path = Path(f"/proc/{os.getpid()}/fd/{number}")
        return path if path.exists() else Path(f"/dev/fd/{number}")

    async def receive(self, parts: AsyncIterator[bytes], announced: Announced) -> None:
        """Takes all bytes; holds one part in memory. Errors: INVALID_ARGUMENT where they are too many, or others than
        announced; OVERLOADED where there is no room; DEADLINE_EXCEEDED when the sender pauses for half a minute."""
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    part = await anext(parts, None)
            except TimeoutError as error:
                raise DormouseError(
                    error_pb2.ERROR_REASON_DEADLINE_EXCEEDED, "The rest of the file does not come."
                ) from error
            if part is None:
                break
            await self._add(part, announced.size_bytes)
        if announced.size_bytes and self.size_bytes != announced.size_bytes:
            raise _other_bytes()
        if announced.sha256 and self.sha256 != announced.sha256:
            raise _other_bytes()
        self._file.seek(0)

    async def _add(self, part: bytes, announced_bytes: int) -> None:
        self.size_bytes += len(part)
        if self.size_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        if announced_bytes and self.size_bytes > announced_bytes:
            raise _other_bytes()
        try:
            # A slow disk holds up nobody else.
            await asyncio.to_thread(self._write, part)
        except OSError as error:
            raise _no_room(error) from error

    def _write(self, part: bytes) -> None:
        self._hash.update(part)
        rest = memoryview(part)
        while rest:
            rest = rest[self._file.write(rest) :]


def too_large(most_bytes: int) -> DormouseError:
    """The file is longer than files may be."""
    return errors.invalid_argument(f"A file has at most {most_bytes:,} bytes.")


def _other_bytes() -> DormouseError:
    return errors.invalid_argument("The bytes that came are not those that were announced.")


def _no_room(error: OSError) -> DormouseError:
    _logger.warning("no room for a file", extra={"errno": error.errno, "folder": tempfile.gettempdir()})
    return errors.overloaded("There is no room for the file now.")
