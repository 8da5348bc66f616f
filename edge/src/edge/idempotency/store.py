"""Claims and kept answers in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from edge.database import Database

KEEP: Final = timedelta(hours=24)


class Outcome(StrEnum):
    """How a request stands when it comes in."""

    NEW = "new"
    """The first with its key."""
    AGAIN = "again"
    """The replica that had it died before it did anything."""
    BUSY = "busy"
    """It is being answered."""
    RUNNING = "running"
    """The run's log is its answer."""
    KEPT = "kept"
    """Here is its answer."""
    UNKNOWN = "unknown"
    """The replica that had it died, and nobody knows what it has done."""
    OTHER = "other"
    """The key belongs to another request."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What Postgres says of a request."""

    outcome: Outcome
    digest: bytes
    run_id: str
    created_at: datetime
    content: bytes | None
    answer: bytes | None


class KeptRequests:
    """Every method raises DATABASE_UNAVAILABLE while Postgres is away."""

    def __init__(self, database: Database, owner: str, lease: timedelta) -> None:
        """lease: so long a replica that says nothing is taken to be answering still."""
        self._database = database
        self._owner = owner
        self._lease = lease

    async def claim(
        self, tenant: str, digests: Sequence[bytes], fingerprint: bytes, run_id: str, *, may_repeat: bool
    ) -> Claimed:
        """Takes the request, or tells how it stands. may_repeat: doing it twice does no harm."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "select * from claim_request(%s, %b::bytea[], %b, %s, %s, %s, %s, %s)",
                (
                    tenant,
                    list(digests),
                    fingerprint,
                    run_id,
                    self._owner,
                    self._lease,
                    KEEP,
                    "again" if may_repeat else "unknown",
                ),
                binary=True,
            )
            row = await cursor.fetchone()
        assert row is not None
        return Claimed(
            Outcome(row["outcome"]), row["digest"], row["run_id"], row["created_at"], row["content"], row["answer"]
        )

    async def is_busy(self, tenant: str, digest: bytes) -> bool:
        """Whether a living replica answers it still."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                "select state = 'claimed' and held_until > clock_timestamp() as busy from kept_requests"
                " where digest = %b",
                (digest,),
            )
            row = await cursor.fetchone()
        return row is not None and bool(row["busy"])

    async def keep(self, tenant: str, digest: bytes, run_id: str, answer: bytes, content: bytes | None) -> None:
        """The answer, unless another request has taken the key's place meanwhile."""
        async with self._database.tenant(tenant) as connection:
            await connection.execute(
                """update kept_requests set state = 'kept', answer = %b, content = %b
                   where digest = %b and run_id = %s and state <> 'kept'""",
                (answer, content, digest, run_id),
            )

    async def leave_to_run(self, tenant: str, digest: bytes, run_id: str) -> None:
        """From now on what the run says is the answer."""
        async with self._database.tenant(tenant) as connection:
            await connection.execute(
                "update kept_requests set state = 'running' where digest = %b and run_id = %s and state = 'claimed'",
                (digest, run_id),
            )

    async def release(self, tenant: str, digest: bytes, run_id: str) -> None:
        """Nothing has come of it: the next request with the key is the first one."""
        async with self._database.tenant(tenant) as connection:
            await connection.execute(
                "delete from kept_requests where digest = %b and run_id = %s and state in ('claimed', 'running')",
                (digest, run_id),
            )

    async def hold(self, digests: Sequence[bytes]) -> None:
        """This replica still answers these."""
        async with self._database.connection() as connection:
            await connection.execute(
                "select hold_requests(%s, %b::bytea[], %s)", (self._owner, list(digests), self._lease)
            )

    async def prune(self, batch: int) -> int:
        """Drops what has expired, of all tenants; how many."""
        async with self._database.connection() as connection:
            cursor = await connection.execute("select prune_requests(%s) as dropped", (batch,))
            row = await cursor.fetchone()
        return int(row["dropped"]) if row else 0
