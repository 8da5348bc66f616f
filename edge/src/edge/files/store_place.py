"""Makes sure that all replicas of one database keep originals in the same store.

A store names itself by a random id, in an object of its own, and the database remembers which one it is. Another folder
of the same name, on another machine, is another store: there the originals that rows speak of would be missing.
"""

import asyncio
import secrets
from typing import Final

from dormouse_runtime.errors import DormouseError

from edge.errors import ApiError

from .originals import Originals
from .table import FileTable

_CHECK_S: Final = 3.0


class WrongStoreError(ApiError):
    """The files of this database are somewhere else."""

    def __init__(self, named: str, place: str) -> None:
        self.sentence = (
            f"DORMOUSE_FILES names {named!r}, but the files of this database are in another store, first known as "
            f"{place!r}. Every replica has to name that one: a folder that all of them share, or s3://bucket/prefix. "
            "Where it is lost for good, empty the database's table file_store, and this one takes its place."
        )
        super().__init__(
            503,
            "The store of files is not the one that this platform uses.",
            type="server_error",
            code="files_unavailable",
            headers={"x-should-retry": "false"},
        )


class StorePlace:
    """The store of this process against the database's."""

    def __init__(self, table: FileTable, originals: Originals) -> None:
        self._table = table
        self._originals = originals
        self._is_confirmed = False

    async def confirm(self) -> None:
        """Returns at once when it is known to be the right one.

        Errors: WrongStoreError; StorageAwayError, DATABASE_UNAVAILABLE, and it may be asked again.
        """
        if self._is_confirmed:
            return
        own = await self._originals.identity(f"store_{secrets.token_hex(12)}")
        known, place = await self._table.store(own, self._originals.place)
        if known != own:
            raise WrongStoreError(self._originals.place, place)
        self._is_confirmed = True

    async def refusal(self) -> str:
        """Why a process must not start with this store. Empty: it may; perhaps because that cannot be found out now."""
        try:
            async with asyncio.timeout(_CHECK_S):
                await self.confirm()
        except WrongStoreError as error:
            return error.sentence
        except (ApiError, DormouseError, TimeoutError):
            return ""
        return ""
