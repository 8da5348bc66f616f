"""A file that may be replaced while we run: read once at the start, and again when it has changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from dormouse_runtime.keys import KeyFileError

_CHECK_EVERY_S: Final = 1.0
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What `read` makes of the file, as `value`.

    A file that can't be read any more, or not whole yet, leaves the value as it was and is logged.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        """read raises KeyFileError for what it can't use; so does this."""
        self._path = path
        self._read = read
        self._stamp = _stamp(path)
        self.value = read(path)
        self._next_check = time.monotonic() + _CHECK_EVERY_S

    def refresh(self) -> bool:
        """Looks for a change, at most once a second (one stat call); whether there is a new value."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        self._next_check = now + _CHECK_EVERY_S
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return False
            self.value = self._read(self._path)
        except KeyFileError as error:
            _logger.warning("key file unreadable, keeping what it held", extra={"reason": str(error)})
            return False
        self._stamp = stamp
        return True


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat on a path that runs per call
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    return status.st_mtime_ns, status.st_ino, status.st_size
