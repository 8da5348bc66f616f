"""The limits' connection to Redis: what many requests ask at the same moment goes in one write."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError

from edge.redis_link import ANSWER_TIMEOUT_S, AWAY, Command, Pipe

STANDSTILL_S: Final = 1.5 * ANSWER_TIMEOUT_S
"""A question that failed only after so long says less of Redis than of this process, which stood still meanwhile."""

Asked = tuple[Command, str, asyncio.Future[Any]]
"""A command, the text of the script that it runs ("": it runs none), and where its answer goes."""


class LimitsLink:
    """Runs scripts. While one batch is under way the next one gathers, so that load makes batches and no queue."""

    def __init__(self, redis_url: str) -> None:
        self._pipe = Pipe(redis_url)
        self._waiting: list[Asked] = []
        self._sending: asyncio.Task[None] | None = None
        self._sums: dict[str, str] = {}

    def run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> asyncio.Future[Any]:
        """The script's answer. Raises AWAY, also where the answer is an error."""
        digest = self._sums.get(script)
        if digest is None:
            digest = self._sums[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        return self._ask(("EVALSHA", digest, len(keys), *keys, *arguments), script)

    def do(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """A command's answer. Raises AWAY, also where the answer is an error."""
        return self._ask(command)

    async def close(self) -> None:
        """Closes the connection; who still waits hears that Redis is away."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])
        await self._pipe.close()

    def _ask(self, command: Command, script: str = "") -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, script, answer))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return answer

    async def _send(self) -> None:
        batch: list[Asked] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    answers = await self._answers(batch)
                except AWAY as error:
                    answers = [error] * len(batch)
                for (_, _, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._sending = None
            for _, _, future in (*batch, *self._waiting):
                if not future.done():
                    future.set_exception(RedisError("the connection is closed"))

    async def _answers(self, batch: Sequence[Asked]) -> list[Any]:
        commands = [command for command, _, _ in batch]
        started = time.perf_counter()
        try:
            answers = await self._pipe.send(commands)
        except AWAY:
            if time.perf_counter() - started < STANDSTILL_S:
                raise
            answers = await self._pipe.send(commands)
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # Redis was started anew: the whole text makes it known
            again = await self._pipe.send([("EVAL", batch[each][1], *commands[each][2:]) for each in unknown])
            for number, answer in zip(unknown, again, strict=True):
                answers[number] = answer
        return answers
