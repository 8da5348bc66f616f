"""Threads in Postgres: LangGraph's saver on a small pool, one saver a run."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import psycopg
from dormouse_runtime.errors import DormouseError
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed

from agent_fn import errors
from agent_fn.runs import ThreadRef
from agent_fn.threads.store import ThreadState

_logger = logging.getLogger(__name__)
T = TypeVar("T")
Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]

_CONNECTIONS = 8
_WAITING = 1024
_CONNECT_S = 2
_POOL_S = 2.0
_STATEMENT_S = 3.0
_IDLE_S = 60.0
# Keys of a checkpoint's metadata: whose it is, and what that run went on from.
_RUN_ID = "dormouse_run_id"
_BASE = "dormouse_base"

# `%(newest)s` bounds what is dropped, so that a run that has begun meanwhile loses nothing.
_PRUNE = (
    """delete from checkpoint_writes
       where thread_id = %(thread)s and checkpoint_ns = '' and checkpoint_id < %(newest)s
         and checkpoint_id <> %(base)s""",
    """delete from checkpoints
       where thread_id = %(thread)s and checkpoint_ns = '' and checkpoint_id < %(newest)s
         and checkpoint_id <> %(base)s""",
    """delete from checkpoint_blobs b
       where thread_id = %(thread)s and checkpoint_ns = '' and not exists (
           select from checkpoints c
           where c.thread_id = b.thread_id and c.checkpoint_ns = b.checkpoint_ns
             and c.checkpoint -> 'channel_versions' ->> b.channel = b.version)""",
)


class Database:
    """A small pool, and the limit of time for everything that is asked of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._given_up: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Connects to nothing yet: a database that is away stops neither start nor stateless chat."""
        pool: Pool = AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            min_size=0,
            max_size=_CONNECTIONS,
            max_waiting=_WAITING,
            max_idle=_IDLE_S,
            timeout=_POOL_S,
            # Attempts to connect are given up soon and made anew by the next call: healing waits for no back-off.
            reconnect_timeout=_CONNECT_S,
            # Without this a restarted database fails one call for each connection from before.
            check=AsyncConnectionPool.check_connection,
            # Names of prepared statements would clash behind a pooler.
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None,
                "connect_timeout": _CONNECT_S,
            },
            name="threads",
            open=False,
        )
        await pool.open(wait=False)
        return cls(pool)

    async def aclose(self) -> None:
        """Closes all connections."""
        for task in self._given_up:
            task.cancel()
        await self.pool.close(timeout=_STATEMENT_S)

    async def answer(self, work: Coroutine[Any, Any, T]) -> T:
        """What the database answers, if it does so within 3 s. Errors: DATABASE_UNAVAILABLE.

        As a task of its own, because psycopg's calls do not end by being cancelled when a server is frozen.
        """
        task = asyncio.create_task(work)
        try:
            await asyncio.wait([task], timeout=_STATEMENT_S)
        finally:
            if not task.done():
                self._given_up.add(task)
                task.add_done_callback(self._forget)
                task.cancel()
        if not task.done():
            _logger.warning("the database does not answer in time")
            raise errors.database_unavailable()
        try:
            return task.result()
        except (psycopg.OperationalError, PoolClosed) as error:
            _logger.warning("the database does not answer", extra={"error": type(error).__name__})
            raise errors.database_unavailable() from error

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._given_up.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.debug("what was given up has failed", extra={"error": type(error).__name__})


class PostgresThreads:
    """See store.Threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> "PostgresThreads":
        """Makes the pool."""
        return cls(await Database.open(url))

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._database.aclose()

    async def begin(self, ref: ThreadRef, run_id: str) -> "PostgresThreadRun":
        """See store.Threads.begin.

        Every attempt of a run begins at the same base, whatever an earlier one has stored: what that has told the
        client stands in the run's log, and the new attempt goes on from there.
        """
        key = _key(ref)
        saver = AsyncPostgresSaver(self._database.pool)
        latest = await self._database.answer(saver.aget_tuple(_config(key)))
        base: CheckpointTuple | None
        if latest is not None and latest.metadata.get(_RUN_ID) == run_id:
            base = await self._checkpoint(saver, key, str(latest.metadata.get(_BASE, "")))
        elif ref.empty:
            base = None
        elif ref.base and (latest is None or _id(latest) != ref.base):
            base = await self._checkpoint(saver, key, ref.base)
        else:
            base = latest
        return PostgresThreadRun(self._database, key, run_id, base)

    async def state(self, ref: ThreadRef) -> ThreadState:
        """See store.Threads.state."""
        saver = AsyncPostgresSaver(self._database.pool)
        found = await self._database.answer(saver.aget_tuple(_config(_key(ref), ref.base)))
        if found is None:
            raise errors.thread_not_found()
        values = found.checkpoint["channel_values"]
        return ThreadState(
            checkpoint_id=_id(found),
            messages=values.get("messages", []),
            values={
                name: value
                for name, value in values.items()
                if name != "messages" and name.isidentifier() and not name.startswith("__")
            },
        )

    async def prune(self, refs: Sequence[ThreadRef], *, delete: bool) -> None:
        """See store.Threads.prune."""
        saver = AsyncPostgresSaver(self._database.pool)
        await self._database.answer(
            saver.aprune([_key(ref) for ref in refs], strategy="delete" if delete else "keep_latest")
        )

    async def _checkpoint(self, saver: AsyncPostgresSaver, key: str, checkpoint_id: str) -> CheckpointTuple | None:
        if not checkpoint_id:
            return None
        found = await self._database.answer(saver.aget_tuple(_config(key, checkpoint_id)))
        if found is None:
            raise errors.thread_not_found()
        return found


class PostgresThreadRun:
    """A thread while a run extends it.

    base: the checkpoint that the run goes on from; empty where the thread held nothing. checkpointer: this run's alone,
    for a shared one's lock would make all runs wait for each other. config: LangGraph's, for the run.
    """

    def __init__(self, database: Database, key: str, run_id: str, base: CheckpointTuple | None) -> None:
        self._database = database
        self._key = key
        self.base = "" if base is None else _id(base)
        self.checkpointer = RunSaver(database, base)
        self.config: dict[str, Any] = {**_config(key), "metadata": {_RUN_ID: run_id, _BASE: self.base}}

    async def prune(self) -> None:
        """Drops the thread's older checkpoints but the run's base. Never fails: the next run's will do."""
        values = {"thread": self._key, "newest": self.checkpointer.saved, "base": self.base}
        try:
            await self._database.answer(self._prune(values))
        except DormouseError:
            _logger.warning("old checkpoints could not be pruned")

    async def _prune(self, values: dict[str, str]) -> None:
        # A pipeline is one transaction, and one round trip.
        async with self._database.pool.connection() as connection, connection.pipeline():
            for statement in _PRUNE:
                await connection.execute(statement, values)


class RunSaver(AsyncPostgresSaver):
    """The saver of one run: it shows the thread as of the run's base, and knows what the run has stored."""

    def __init__(self, database: Database, base: CheckpointTuple | None) -> None:
        super().__init__(database.pool)
        self._database = database
        self._base = base
        self.saved = ""
        """The latest checkpoint that was stored; empty before the first."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The base. It was read when the run began."""
        return self._base

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint. Errors: DATABASE_UNAVAILABLE."""
        stored = await self._database.answer(super().aput(config, checkpoint, metadata, new_versions))
        self.saved = checkpoint["id"]
        return stored

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Stores a step's writes. Errors: DATABASE_UNAVAILABLE."""
        await self._database.answer(super().aput_writes(config, writes, task_id, task_path))


def _key(ref: ThreadRef) -> str:
    """The thread's id in LangGraph's tables: no tenant can name another's."""
    return f"{ref.tenant}:{ref.thread_id}"


def _config(key: str, checkpoint_id: str = "") -> RunnableConfig:
    config: dict[str, Any] = {"thread_id": key, "checkpoint_ns": ""}
    if checkpoint_id:
        config["checkpoint_id"] = checkpoint_id
    return {"configurable": config}


def _id(found: CheckpointTuple) -> str:
    return found.checkpoint["id"]


def _is_state(channel: str) -> bool:
    """LangGraph's own channels have names like __start__ and branch:to:model."""
    return channel.isidentifier() and not channel.startswith("__")
