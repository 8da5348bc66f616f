"""Which files this replica has for itself, and that it keeps them while it works on them."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from dormouse_runtime.errors import DormouseError

from .table import FileTable

_log = logging.getLogger(__name__)


class Leases:
    """Renews them all in one statement, three times in the length of a lease."""

    def __init__(self, table: FileTable, *, owner: str, lease_s: float) -> None:
        self.owner = owner
        self.lease_s = lease_s
        self._table = table
        self._held: dict[str, Callable[[], object]] = {}
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Renews nothing any more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @contextmanager
    def held(self, file_id: str, on_lost: Callable[[], object]) -> Iterator[None]:
        """Keeps a file for as long as the block lasts. `on_lost`: it is deleted, or another replica has it."""
        self._held[file_id] = on_lost
        try:
            yield
        finally:
            del self._held[file_id]

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.lease_s / 3)
            if not self._held:
                continue
            asked = dict(self._held)
            try:
                kept = await self._table.hold(self.owner, self.lease_s, asked)
            except DormouseError as error:
                _log.debug("cannot renew the leases of files", extra={"cause": repr(error)})
                continue
            for file_id, on_lost in asked.items():
                if file_id not in kept and self._held.get(file_id) is on_lost:
                    on_lost()
