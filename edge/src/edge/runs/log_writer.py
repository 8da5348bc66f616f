"""Writes the logs of all runs that this replica owns: one append at a time, for every run that has something to say.

What arrives while an append is under way becomes the next one, so batches grow with the load and no timer delays a
token. While Redis is away events are shown without being logged; once it is back every live log is written anew.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from redis.exceptions import ResponseError

from edge.redis_link import ANSWER_TIMEOUT_S, AWAY, Command, Pipe

from . import metrics
from .live_run import LiveRun
from .log_format import (
    append_command,
    expire_command,
    note_command,
    own_commands,
    replace_command,
    rewrite_command,
    settle_commands,
    state_commands,
)

PROBE_INTERVAL_S = 0.3
"""How often a Redis that is away is asked whether it is back."""

STANDSTILL_S = 1.5 * ANSWER_TIMEOUT_S
"""An append that failed only after so long says less of Redis than of this process, which stood still meanwhile."""

UNSAVED_LIMIT = 1000
"""Ended runs kept in memory while Redis is away; the oldest are dropped first."""

_log = logging.getLogger(__name__)


class LogWriter:
    """The one writer of a replica.

    `live` gives the runs that the replica owns; `on_settled` hears of each whose end is in the log, or that was lost.
    """

    def __init__(
        self,
        redis_url: str,
        replica_id: str,
        ttl_s: int,
        *,
        live: Callable[[], Iterable[LiveRun]],
        on_settled: Callable[[LiveRun], None],
    ) -> None:
        self._pipe = Pipe(redis_url)
        self._probe_pipe = Pipe(redis_url)
        self._replica_id = replica_id
        self._ttl_s = ttl_s
        self._live = live
        self._on_settled = on_settled
        self._dirty: dict[LiveRun, None] = {}
        self._work = asyncio.Event()
        self._is_back = False
        self.available = True
        """Whether what is shown is also in Redis, so that a client can resume anywhere."""

    def submit(self, run: LiveRun) -> None:
        """Puts a run that has new events in line for the next append."""
        self._dirty[run] = None
        self._work.set()

    def lose(self, run: LiveRun) -> None:
        """Lets a run go that another replica has taken over."""
        if not run.lost:
            run.lose()
            self._on_settled(run)

    async def write(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            if self._is_back:
                self._is_back = False
                await self._heal()
            if self.available:
                await self._append()
            else:
                self._show_unlogged()

    async def probe(self) -> None:
        """Watches for Redis to come back, until cancelled. Apart from `write`, so that a probe delays no event."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL_S)
            if not self.available and not self._is_back:
                try:
                    answers = await self._probe_pipe.send([("PING",)])
                except AWAY:
                    continue
                if not isinstance(answers[0], Exception):
                    self._is_back = True
                    self._work.set()

    async def close(self) -> None:
        """Closes the connections."""
        await self._pipe.close()
        await self._probe_pipe.close()

    async def _append(self) -> None:
        """One append: everything that waits, in one round trip."""
        runs, self._dirty = self._dirty, {}
        commands: list[Command] = []
        appends: list[tuple[LiveRun, int, int]] = []  # run, entries up to, the answer that counts
        for run in runs:
            run.seal()
            if run.detached or run.lost:
                continue
            if run.replaces_log:
                run.noted_state = run.state
                commands.append(note_command(run, self._replica_id))
                appends.append((run, len(run.entries), len(commands)))
                commands.append(replace_command(run, self._replica_id))
            for index in range(len(run.entries) if run.replaces_log else run.persisted, len(run.entries)):
                if index == 0:
                    run.noted_state = run.state
                    commands += own_commands(run, self._replica_id)
                appends.append((run, index + 1, len(commands)))
                commands.append(append_command(run, run.entries[index]))
                if index == 0:
                    commands.append(expire_command(run))
            if run.has_ended:
                commands += settle_commands(run, self._replica_id, self._ttl_s)
        started = time.perf_counter()
        try:
            answers = await self._pipe.send(commands)
        except AWAY as error:
            # Another replica may own the runs by now: what it has not logged must not be shown before that is known.
            if time.perf_counter() - started < STANDSTILL_S or not await self._heal():
                self._go_without(error, runs)
            return
        metrics.APPEND_SECONDS.observe(time.perf_counter() - started)
        metrics.APPEND_ENTRIES.observe(len(appends))
        for run, persisted, position in appends:
            answer = answers[position]
            if answer == 0 or (isinstance(answer, ResponseError) and "equal or smaller" in str(answer)):
                self.lose(run)
            elif answer is None or isinstance(answer, Exception):
                # Redis answers, but has lost the log or cannot store: full, loading, a replica.
                self._go_without(answer or "a log is gone", runs)
                return
            elif not run.lost:
                run.persisted, run.replaces_log = persisted, False
        await self._show(run for run in runs if not run.lost)

    async def _show(self, runs: Iterable[LiveRun]) -> None:
        """Shows what has been logged, and notes what has changed beside the logs."""
        noted: list[LiveRun] = []
        for run in runs:
            run.commit(len(run.entries) if run.detached else run.persisted)
            if run.is_settled:
                self._on_settled(run)
            elif run.noted_state != run.state and not run.detached:
                run.noted_state = run.state
                noted.append(run)
        if noted:
            try:
                await self._pipe.send([command for run in noted for command in state_commands(run)])
            except AWAY as error:
                self._go_without(error, noted)

    def _go_without(self, why: object, runs: Iterable[LiveRun]) -> None:
        if self.available:
            self.available = False
            metrics.RESUME_AVAILABLE.set(0)
            _log.warning("redis is away: runs stream without resume", extra={"cause": repr(why)})
        self._dirty.update(dict.fromkeys(runs))
        self._show_unlogged()

    def _show_unlogged(self) -> None:
        runs, self._dirty = self._dirty, {}
        for run in runs:
            run.seal()
            run.commit(len(run.entries))
        if any(run.is_settled for run in runs):
            ended = [run for run in self._live() if run.is_settled]
            for run in ended[: max(0, len(ended) - UNSAVED_LIMIT)]:
                self._on_settled(run)

    async def _heal(self) -> bool:
        """Writes every live log anew: a Redis that was away may have lost them, in part or whole. False: still away."""
        runs = [run for run in self._live() if not run.lost and not run.detached]
        for run in runs:
            if not run.entries:
                continue
            try:
                persisted = len(run.entries)
                (answer,) = await self._pipe.send([self._whole(run)])
                if isinstance(answer, Exception):
                    return False  # still loading, or unable to store; the probe asks again
                if answer == 0:
                    self._give_up(run)
                    continue
                commands = [*own_commands(run, self._replica_id), expire_command(run)]
                if run.is_settled:
                    commands += settle_commands(run, self._replica_id, self._ttl_s)
                await self._pipe.send(commands)
                run.persisted, run.replaces_log = persisted, False
            except AWAY:
                return False
        if not self.available:
            self.available = True
            metrics.RESUME_AVAILABLE.set(1)
            _log.info("redis is back: runs can be resumed again", extra={"runs": len(runs)})
        await self._show(run for run in runs if not run.lost and not run.detached and run.persisted)
        return True

    def _whole(self, run: LiveRun) -> Command:
        return replace_command(run, self._replica_id) if run.replaces_log else rewrite_command(run)

    def _give_up(self, run: LiveRun) -> None:
        """The run was taken over while Redis was away from here.

        A client that has seen nothing beyond the common log goes on with the new owner's. One that has seen more would
        see a second version of it, so it gets this replica's to its end, and the log stays the new owner's.
        """
        if run.visible <= run.persisted:
            self.lose(run)
        else:
            run.detached = True
