"""Threads in Postgres: LangGraph's saver on a small pool, one saver a run."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.postgres import Database
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple

from agent_fn import errors
from agent_fn.runs import ThreadRef
from agent_fn.threads.saver import TenantSaver, enter_tenant
from agent_fn.threads.store import ThreadState

_logger = logging.getLogger(__name__)
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


class PostgresThreads:
    """See store.Threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> "PostgresThreads":
        """Makes the pool."""
        return cls(await Database.open(url, name="threads", refusal=errors.database_unavailable().message))

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._database.aclose()

    async def begin(self, ref: ThreadRef, run_id: str) -> "PostgresThreadRun":
        """See store.Threads.begin.

        Every attempt of a run begins at the same base, whatever an earlier one has stored: what that has told the
        client stands in the run's log, and the new attempt goes on from there.
        """
        key = _key(ref)
        saver = TenantSaver(self._database.pool, ref.tenant)
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
        return PostgresThreadRun(self._database, ref.tenant, key, run_id, base)

    async def state(self, ref: ThreadRef) -> ThreadState:
        """See store.Threads.state."""
        saver = TenantSaver(self._database.pool, ref.tenant)
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
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for ref in refs:
            keys[ref.tenant].append(_key(ref))
        for tenant, own in keys.items():
            saver = TenantSaver(self._database.pool, tenant, one_snapshot=True)
            await self._database.answer(saver.aprune(own, strategy="delete" if delete else "keep_latest"))

    async def _checkpoint(self, saver: TenantSaver, key: str, checkpoint_id: str) -> CheckpointTuple | None:
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

    def __init__(self, database: Database, tenant: str, key: str, run_id: str, base: CheckpointTuple | None) -> None:
        self._database = database
        self._tenant = tenant
        self._key = key
        self.base = "" if base is None else _id(base)
        self.checkpointer = RunSaver(database, tenant, base)
        self.config: dict[str, Any] = {**_config(key), "metadata": {_RUN_ID: run_id, _BASE: self.base}}

    async def prune(self) -> None:
        """Drops the thread's older checkpoints but the run's base. Never fails: the next run's will do."""
        values = {"thread": self._key, "newest": self.checkpointer.saved, "base": self.base}
        try:
            await self._database.answer(self._prune(values))
        except DormouseError:
            _logger.warning("old checkpoints could not be pruned")

    async def _prune(self, values: dict[str, str]) -> None:
        # In a pipeline all of it is one round trip.
        async with self._database.pool.connection() as connection, connection.pipeline(), connection.transaction():
            await enter_tenant(connection, self._tenant)
            for statement in _PRUNE:
                await connection.execute(statement, values)


class RunSaver(TenantSaver):
    """The saver of one run: it shows the thread as of the run's base, and knows what the run has stored."""

    def __init__(self, database: Database, tenant: str, base: CheckpointTuple | None) -> None:
        super().__init__(database.pool, tenant)
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
