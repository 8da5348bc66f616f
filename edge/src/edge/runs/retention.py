"""Drops the logs of stored runs that are old enough, for all tenants, a few at a time."""

import asyncio
import logging
import random
from datetime import timedelta

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from psycopg.types.json import Jsonb

from edge.database import Database

BATCH = 200
PAUSE_S = 0.2
INTERVAL_S = 3600.0
FIRST_S = 300.0

_log = logging.getLogger(__name__)


async def prune(database: Database, *, days: float) -> int:
    """Drops the logs that were kept longer ago, and fails the runs that have waited so long for answers; how many.

    Several replicas may be at it: each row is one's only. Raises DATABASE_UNAVAILABLE.
    """
    error = {
        "reason": ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        "message": f"Nobody has answered this run's questions within {days:g} days.",
        "retryable": False,
    }
    total = 0
    while True:
        async with database.connection() as connection:
            cursor = await connection.execute(
                "select prune_run_logs(clock_timestamp() - %s, %s, %s) as dropped",
                (timedelta(days=days), BATCH, Jsonb(error)),
            )
            row = await cursor.fetchone()
        dropped: int = row["dropped"] if row else 0
        total += dropped
        if dropped < BATCH:
            return total
        await asyncio.sleep(PAUSE_S)


async def keep_pruning(database: Database, *, days: float) -> None:
    """Prunes soon, then once an hour, until cancelled."""
    await asyncio.sleep(random.uniform(0, FIRST_S))  # noqa: S311 - so that replicas take turns
    while True:
        try:
            if dropped := await prune(database, days=days):
                _log.info("dropped old run logs", extra={"runs": dropped})
        except DormouseError as error:
            _log.debug("cannot drop old run logs", extra={"cause": repr(error)})
        await asyncio.sleep(INTERVAL_S)
