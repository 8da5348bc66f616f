"""Calls with side effects: each key runs once, to its end, and its result is there for whoever asks again."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from dormouse.common.v1 import error_pb2
from dormouse_runtime import deadlines
from dormouse_runtime.errors import DormouseError

from tool_fn import errors
from tool_fn.ledger.ledger import Ledger
from tool_fn.ledger.port import Different, Entry, Finished, Lost, Mine, NotBegun, Running, Verdict, arguments_hash
from tool_fn.meter import ToolMeter
from tool_fn.results import Result
from tool_fn.runner import Runner
from tool_fn.tool import Call, Tool

_logger = logging.getLogger(__name__)
# Seconds between looks at a call that another process runs: soon at first, for most calls are short.
_FIRST_LOOK_S: Final = 0.02
_LAST_LOOK_S: Final = 0.25
# How much longer than its limit a call in another process is waited for.
_PATIENCE_S: Final = 5.0
# A result that cannot be stored is tried again this often.
_STORE_AGAIN_S: Final = 0.5
# Of the time for a drain, what is left for calls that are broken off to store that.
_DRAIN_RESERVE: Final = 0.2
_DRAIN_RESERVE_MOST_S: Final = 2.0
_NOBODY_KNOWS: Final = "Nobody can say whether it was carried out."


@dataclass(frozen=True, slots=True)
class _Effect:
    """A call that this process decides about. Its task ends when the result is stored; `result` is there before."""

    entry: Entry
    result: asyncio.Future[Result]
    task: asyncio.Task[None]


class Effects:
    """The calls with side effects of this process. `result` may be cancelled; the call goes on."""

    def __init__(self, ledger: Ledger, runner: Runner, meter: ToolMeter) -> None:
        self._ledger = ledger
        self._runner = runner
        self._meter = meter
        self._effects: dict[tuple[str, str], _Effect] = {}
        self._draining = False

    async def result(self, tool: Tool, arguments: bytes, call: Call, call_id: str) -> Result:
        """Runs the call, or waits for whoever does, or brings what it brought. Errors: INVALID_ARGUMENT for a key of
        another call, OVERLOADED, SHUTTING_DOWN.
        """
        entry = Entry(call.tenant, call.idempotency_key, tool.name, arguments_hash(arguments))
        effect = self._effects.get((entry.tenant, entry.key))
        if effect is not None:
            if effect.entry != entry:
                raise _other_call()
            self._meter.count(tool.name, "replay")
            return replace(await asyncio.shield(effect.result), is_replay=True)
        effect = self._begin(entry, tool, arguments, call, call_id)
        return await asyncio.shield(effect.result)

    async def drain(self, seconds: float) -> None:
        """Begins no new calls, and returns when none runs, at the latest after `seconds`.

        What still runs shortly before that is broken off and stored as a call whose outcome nobody knows.
        """
        self._draining = True
        reserve_s = min(seconds * _DRAIN_RESERVE, _DRAIN_RESERVE_MOST_S)
        if await self._all_ended(seconds - reserve_s):
            return
        _logger.warning("breaking off calls", extra={"calls": len(self._effects)})
        for effect in self._effects.values():
            effect.task.cancel()
        await self._all_ended(reserve_s)

    async def _all_ended(self, seconds: float) -> bool:
        tasks = [effect.task for effect in self._effects.values()]
        return not tasks or not (await asyncio.wait(tasks, timeout=seconds))[1]

    def _begin(self, entry: Entry, tool: Tool, arguments: bytes, call: Call, call_id: str) -> _Effect:
        """No await stands between the look at what runs here and this, so a key has one task at most."""
        if self._draining:
            raise errors.shutting_down()
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()
        result.add_done_callback(_seen)
        work = self._decide(entry, tool, arguments, call, call_id, result)
        effect = _Effect(entry, result, loop.create_task(work, name=f"effect {entry.tool}"))
        self._effects[entry.tenant, entry.key] = effect
        effect.task.add_done_callback(lambda _: self._effects.pop((entry.tenant, entry.key)))
        return effect

    async def _decide(
        self, entry: Entry, tool: Tool, arguments: bytes, call: Call, call_id: str, result: asyncio.Future[Result]
    ) -> None:
        try:
            verdict = await self._verdict(entry, tool)
            if isinstance(verdict, Mine):
                await self._run(entry, tool, arguments, call, call_id, result)
            else:
                result.set_result(self._answer(tool, verdict))
        except asyncio.CancelledError:
            if not result.done():
                result.set_exception(errors.shutting_down())
            raise
        except Exception as error:
            if result.done():
                raise
            result.set_exception(error)  # whoever waits for it maps it

    async def _verdict(self, entry: Entry, tool: Tool) -> Verdict | None:
        """Who runs the call; None: the ledger cannot say. A call that another process runs is waited for."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + tool.time_limit_s + _PATIENCE_S
        pause_s = _FIRST_LOOK_S
        verdict: Verdict | None = None
        try:
            while True:
                verdict = await self._ledger.begin(entry, may_run=not (self._draining or self._runner.is_full))
                if not isinstance(verdict, Running) or loop.time() > give_up:
                    return verdict
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LAST_LOOK_S)
        except DormouseError as error:
            if error.reason != error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE:
                raise
            return verdict

    async def _run(
        self,
        entry: Entry,
        tool: Tool,
        arguments: bytes,
        call: Call,
        call_id: str,
        result: asyncio.Future[Result],
    ) -> None:
        # The task has its first caller's log ids and trace; his deadline it must not have.
        deadlines.bind_deadline(tool.time_limit_s)
        call = replace(call, deadline=asyncio.get_running_loop().time() + tool.time_limit_s)
        try:
            brought = await self._runner.run(tool, arguments, call, call_id)
        except asyncio.CancelledError:
            brought = Result(
                f"The tool {tool.name} was broken off by a shutdown. {_NOBODY_KNOWS}",
                is_error=True,
                outcome_unknown=True,
            )
            await self._store(entry, brought, result)
            raise
        await self._store(entry, brought, result)

    async def _store(self, entry: Entry, brought: Result, result: asyncio.Future[Result]) -> None:
        """Keeps the result, and goes on trying where the database is away; callers don't wait for that."""
        while True:
            try:
                await self._ledger.finish(entry, brought)
            except DormouseError:
                if not result.done():
                    result.set_result(brought)
                await asyncio.sleep(_STORE_AGAIN_S)
            else:
                break
        if not result.done():
            result.set_result(brought)

    def _answer(self, tool: Tool, verdict: Verdict | None) -> Result:
        """For a call that is not this process's to run."""
        match verdict:
            case Finished(result):
                self._meter.count(tool.name, "replay")
                return replace(result, is_replay=True)
            case Different():
                raise _other_call()
            case NotBegun():
                raise errors.shutting_down() if self._draining else errors.overloaded()
            case Lost():
                text = f"The tool {tool.name} had begun when the process that ran it ended. {_NOBODY_KNOWS}"
            case Running():
                text = f"The tool {tool.name} still runs in another process. {_NOBODY_KNOWS}"
            case _:
                self._meter.count(tool.name, "refused")
                return Result(
                    f"The tool {tool.name} was not run now: the record that keeps a call from running twice cannot be"
                    " reached. If this very call was tried before, nobody can say whether it was carried out then.",
                    is_error=True,
                )
        self._meter.count(tool.name, "unknown")
        return Result(f"{text} It is not repeated.", is_error=True, outcome_unknown=True)


def _other_call() -> DormouseError:
    return errors.invalid_argument("The idempotency key belongs to a call of another tool, or with other arguments.")


def _seen(result: asyncio.Future[Result]) -> None:
    """Whoever waited may be gone: an error that nobody fetches is no news then."""
    if not result.cancelled():
        result.exception()
