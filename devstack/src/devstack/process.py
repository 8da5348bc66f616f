"""One child process: started so that it dies with us, logged, waited for, stopped."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack.accounts import Account
from devstack.errors import StartError
from devstack.log_pump import Life, LogPump

LAUNCHER = Path(__file__).with_name("launcher.py")


class Process:
    """A program under our care. It can be started again after it ended.

    `account` is who it runs as, with `account_options` of the launcher. The program leads a session of its own, so the
    terminal's Ctrl-C reaches only us, and it gets `parent_death_signal` when we die, however we die.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        account: Account | None = None,
        account_options: Sequence[str] = (),
        parent_death_signal: signal.Signals = signal.SIGKILL,
        stop_signal: signal.Signals = signal.SIGTERM,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.env = dict(env)
        self.started_at = 0.0
        self.log = LogPump(log, on_line)
        self._cwd = cwd
        self._account = account
        self._account_options = tuple(account_options)
        self._parent_death_signal = parent_death_signal
        self._stop_signal = stop_signal
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the program. Returns once it runs, which says nothing about its being ready."""
        await self._spawn(self.log.begin())

    async def _spawn(self, output: Life) -> None:
        launch = [sys.executable, "-I", "-S", str(LAUNCHER)]
        if self._account is not None:
            launch += ["--user", f"{self._account.uid}:{self._account.gid}", *self._account_options]
        launch += [str(os.getpid()), str(int(self._parent_death_signal))]
        try:
            self.started_at = time.time()
            self._child = await asyncio.create_subprocess_exec(
                *launch,
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.writing,
                stderr=output.writing,
                env=self.env,
                cwd=self._cwd,
                start_new_session=True,
            )
        finally:
            os.close(output.writing)

    @property
    def pid(self) -> int:
        """Of the running or last started program. 0: never started."""
        return self._child.pid if self._child is not None else 0

    @property
    def returncode(self) -> int | None:
        """None while it runs or before its first start; negative: the signal that ended it."""
        return self._child.returncode if self._child is not None else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    async def wait(self) -> int:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._child.wait()

    async def start_until(self, matches: Callable[[str], bool], *, timeout: float) -> str:
        """Start it and return the first line of its output that matches.

        StartError, with the end of the log, when it ends before that or takes longer than `timeout` seconds; it is
        not running then.
        """
        output = self.log.begin()
        try:
            async with asyncio.timeout(timeout):
                with output.expect(matches) as line:
                    await self._spawn(output)
                    try:
                        return await line
                    except EOFError:
                        code = await self.wait()
            raise StartError(self.name, f"ended with {describe_exit(code)}", list(self.log.tail))
        except TimeoutError:
            if self.running:
                await self.kill()
            raise StartError(self.name, f"was not ready after {timeout:.0f} s", list(self.log.tail)) from None
        except asyncio.CancelledError:
            self.send(signal.SIGKILL)
            raise

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def stop(self, *, timeout: float = 10.0) -> int:
        """Ask it to end, insist after `timeout` seconds, and return its exit code."""
        if not self.running:
            return self.returncode or 0
        self.send(self._stop_signal)
        self.send(signal.SIGCONT)
        try:
            async with asyncio.timeout(timeout):
                code = await self.wait()
        except TimeoutError:
            return await self.kill()
        await asyncio.to_thread(self.log.join)
        return code

    async def kill(self) -> int:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        code = await self.wait()
        await asyncio.to_thread(self.log.join)
        return code


def describe_exit(code: int) -> str:
    """'exit code 3', or 'signal SIGKILL'."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
