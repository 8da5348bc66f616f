"""The threads of all tenants, kept in Postgres by LangGraph's checkpointer.

psycopg takes a third of a second to import, which stateless chat need not wait for: it is loaded with the first call
that needs it, or a moment after the start, whichever comes first.
"""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_fn import errors
from agent_fn.conversation import Message
from agent_fn.runs import ThreadRef

if TYPE_CHECKING:
    from agent_fn.threads.postgres import PostgresThreadRun, PostgresThreads

_LOAD_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class ThreadState:
    """A thread as of one checkpoint. `values`: the rest of the state."""

    checkpoint_id: str
    messages: Sequence[Message]
    values: Mapping[str, Any]


class Threads:
    """All methods raise DATABASE_UNAVAILABLE within about 3 s where the database does not answer."""

    def __init__(self, postgres_url: str) -> None:
        self._url = postgres_url
        self._postgres: asyncio.Task[PostgresThreads] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_LOAD_AFTER_S, self._load) if postgres_url else None

    async def begin(self, ref: ThreadRef, run_id: str) -> "PostgresThreadRun":
        """The thread at the run's base, the same in each attempt. Errors: THREAD_NOT_FOUND for a base that is gone."""
        return await (await self._loaded()).begin(ref, run_id)

    async def state(self, ref: ThreadRef) -> ThreadState:
        """The thread as of its latest checkpoint or `ref.base`. Errors: THREAD_NOT_FOUND."""
        return await (await self._loaded()).state(ref)

    async def prune(self, refs: Sequence[ThreadRef], *, delete: bool) -> None:
        """Leaves each thread its latest checkpoint only, or nothing with `delete`."""
        await (await self._loaded()).prune(refs, delete=delete)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._timer is not None:
            self._timer.cancel()
        if self._postgres is not None:
            await asyncio.wait([self._postgres])
            await self._postgres.result().aclose()

    async def _loaded(self) -> "PostgresThreads":
        if not self._url:
            raise errors.database_unavailable()
        return await asyncio.shield(self._load())

    def _load(self) -> "asyncio.Task[PostgresThreads]":
        if self._postgres is None:
            self._postgres = self._loop.create_task(self._import())
        return self._postgres

    async def _import(self) -> "PostgresThreads":
        module = await asyncio.to_thread(importlib.import_module, "agent_fn.threads.postgres")
        threads: PostgresThreads = await module.PostgresThreads.open(self._url)
        return threads
