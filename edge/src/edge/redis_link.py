"""Connections to Redis: how they are made, and what counts as Redis being away."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

CONNECT_TIMEOUT_S = 0.25
ANSWER_TIMEOUT_S = 0.5
"""Longer than a commit takes on a busy machine, short enough that a hanging Redis delays an answer once, briefly."""

AWAY = (RedisError, OSError, TimeoutError)
"""What a Redis that is stopped, loading, hanging or unreachable raises."""

Command = Sequence[str | bytes | int]

Fields = Mapping[bytes, bytes]
StreamEntry = tuple[bytes, Fields]


async def read_hash(redis: Redis, key: str) -> Fields:
    """All fields of a hash; none where there is no such key. Raises AWAY."""
    return cast("Fields", await redis.hgetall(key))


async def read_stream(redis: Redis, key: str, start: str = "-") -> Sequence[StreamEntry]:
    """The entries of a stream from the id `start`. Raises AWAY."""
    return cast("Sequence[StreamEntry]", await redis.xrange(key, start, "+"))


class PromptRedis(Redis):
    """The client with a time limit of its own on every command.

    The library's limit (socket_timeout) puts each write into asyncio.wait_for, which costs a task and, on Python 3.11,
    can lose a cancellation.
    """

    time_limit_s = ANSWER_TIMEOUT_S

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command's answer. Raises AWAY."""
        async with asyncio.timeout(self.time_limit_s):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def make_client(url: str, *, max_connections: int = 16, time_limit_s: float = ANSWER_TIMEOUT_S) -> Redis:
    """A client that fails fast: no retries, short time limits, a bounded pool."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=ANSWER_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=None,
    )
    client = PromptRedis(connection_pool=pool)
    client.auto_close_connection_pool = True
    client.time_limit_s = time_limit_s
    return client


class Pipe:
    """One connection that sends many commands in one write and reads their answers.

    It packs with hiredis and skips the client's pipeline, which costs twice as much per command.
    """

    def __init__(self, url: str) -> None:
        self._client = make_client(url, max_connections=1)
        self._connection: AbstractConnection | None = None

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The commands' answers, in order; an error answer is returned, not raised. Raises AWAY."""
        packed = b"".join([hiredis.pack_command(tuple(command)) for command in commands])  # type: ignore[arg-type]
        answers: list[Any] = []
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            connection = self._connection
            if connection is None:
                connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
                self._connection = connection
            try:
                await connection.send_packed_command(packed, check_health=False)
                for _ in commands:
                    try:
                        answers.append(await connection.read_response(disable_decoding=True))
                    except ResponseError as error:
                        answers.append(error)
            except BaseException:
                # Answers may still be under way: this connection cannot be used again.
                self._connection = None
                await connection.disconnect(nowait=True)
                await self._client.connection_pool.release(connection)
                raise
        return answers

    async def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            await self._client.connection_pool.release(self._connection)
            self._connection = None
        await self._client.aclose()
