"""`up`: in the foreground, or as a daemon of which the command only watches the start."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO

from devstack.credentials import load_or_make
from devstack.errors import DevstackError, StartError
from devstack.home import Home
from devstack.settings import Settings
from devstack.startup import Ready
from devstack.supervisor import Supervisor
from devstack.terminal import Pipe, Report, Terminal

LOG_LINES = 25
OTHER_START_TIMEOUT_S = 300.0
EXAMPLE = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hello! What are you?"}]}


async def foreground(settings: Settings, model: str) -> int:
    """Run until Ctrl-C, SIGTERM or the end of the terminal."""
    home = Home(settings.home)
    home.make()
    terminal = Terminal()
    if not home.lock():
        return await _already_running(home, terminal, model)
    with (home.logs / "supervisor.log").open("a") as log:
        supervisor = Supervisor(settings, home, _Both(terminal, Terminal(log, clock=True)), model=model)
        _stop_on(supervisor, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

        def on_ready(ready: Ready) -> None:
            _banner(terminal, ready, home, "Ctrl-C stops it. The logs of all processes follow.")
            terminal.shows_logs = True

        try:
            await supervisor.run(on_ready)
        except StartError as error:
            _explain(terminal, str(error), error.log, home)
            return 1
    terminal.say("stopped")
    return 0


async def detached(settings: Settings, model: str) -> int:
    """Start the daemon, show its progress, and return when it is ready or has failed."""
    home = Home(settings.home)
    home.make()
    terminal = Terminal()
    if home.is_locked():
        return await _already_running(home, terminal, model)
    reading, writing = os.pipe()
    with (home.logs / "supervisor.log").open("a") as log:
        daemon = subprocess.Popen(  # noqa: ASYNC220  (nothing else runs in this loop yet)
            [sys.executable, "-P", "-m", "devstack", "daemon", "--model", model, "--report-to", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    try:
        with os.fdopen(reading) as reports:
            return await asyncio.to_thread(_watch, reports, terminal, home)
    except asyncio.CancelledError:  # Ctrl-C
        terminal.say("stopping")
        daemon.send_signal(signal.SIGTERM)
        await asyncio.to_thread(daemon.wait)
        raise


async def daemon(settings: Settings, model: str, report_to: int) -> int:
    """The background process of `detached`: tells it how the start goes through a pipe, and runs until SIGTERM."""
    home = Home(settings.home)
    pipe = Pipe(os.fdopen(report_to, "w"))
    if not home.lock():
        pipe.send({"other": True})
        return 0
    supervisor = Supervisor(settings, home, _Both(pipe, Terminal(clock=True)), model=model, detached=True)
    _stop_on(supervisor, signal.SIGTERM, signal.SIGINT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def on_ready(ready: Ready) -> None:
        pipe.send({"ready": asdict(ready)})
        pipe.close()

    try:
        await supervisor.run(on_ready)
    except (DevstackError, OSError) as error:
        pipe.send({"failed": str(error), "log": error.log if isinstance(error, StartError) else []})
        return 1
    return 0


def _watch(reports: IO[str], terminal: Terminal, home: Home) -> int:
    for line in reports:
        message = json.loads(line)
        if "step" in message:
            terminal.step(message["step"])
        elif "bar" in message:
            terminal.bar(message["bar"], message["done"], message["total"])
        elif "ready" in message:
            _banner(terminal, Ready(**message["ready"]), home, "It runs in the background; `make down` stops it.")
            return 0
        elif "failed" in message:
            _explain(terminal, message["failed"], message["log"], home)
            return 1
        elif "other" in message:
            return asyncio.run(_already_running(home, terminal, ""))
    with (home.logs / "supervisor.log").open() as log:
        _explain(terminal, "the supervisor ended without a word", deque(log, LOG_LINES), home)
    return 1


async def _already_running(home: Home, terminal: Terminal, model: str) -> int:
    """Another `up` holds the home: wait until it is ready and say where it is."""
    said = False
    for _ in range(int(OTHER_START_TIMEOUT_S / 0.1)):
        state = home.load()
        if state.phase == "ready":
            notes = [f"To change the default model: make down, then make up MODEL={model}"] if model else []
            ready = Ready(state.url, load_or_make(home.secrets).api_key, "", notes)
            _banner(terminal, ready, home, "It was running already; `make down` stops it.")
            return 0
        if not home.is_locked():
            raise DevstackError(f"the platform that was {state.phase} here has ended: {state.error or 'try again'}")
        if not said:
            terminal.step("another start is under way here; waiting for it")
            said = True
        await asyncio.sleep(0.1)
    raise DevstackError(f"the other start is not ready after {OTHER_START_TIMEOUT_S:.0f} s; `make down` ends it")


def _banner(terminal: Terminal, ready: Ready, home: Home, last: str) -> None:
    body = json.dumps(EXAMPLE)
    terminal.step("ready")
    terminal.say()
    terminal.say(f"Dormouse runs at {ready.url}")
    terminal.say()
    terminal.say(f"API key  {ready.api_key}")
    terminal.say(f"         (URL and key are in {_shown(home.env)}, as shell lines)")
    terminal.say()
    terminal.say("Try it:")
    terminal.say(
        f"curl -N {ready.url}/v1/chat/completions -H 'Authorization: Bearer {ready.api_key}'"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
    terminal.say()
    terminal.say(f'Python:  openai.OpenAI(base_url="{ready.url}/v1", api_key="{ready.api_key}")')
    if ready.model:
        terminal.say(f"Model:   {ready.model} is the default")
    terminal.say(f"API:     {ready.url}/docs")
    terminal.say(f"Logs:    {_shown(home.logs)}")
    for note in ready.notes:
        terminal.say()
        terminal.say(note)
    terminal.say()
    terminal.say(last)


def _explain(terminal: Terminal, what: str, log: Sequence[str], home: Home) -> None:
    terminal.step(f"failed: {what}")
    for line in list(log)[-LOG_LINES:]:
        terminal.say(f"    {line.rstrip()}")
    terminal.say(f"All logs are in {_shown(home.logs)}")


def _shown(path: Path) -> str:
    """Relative to the current folder where it lies inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _stop_on(supervisor: Supervisor, *signals: signal.Signals) -> None:
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, supervisor.stop)


class _Both:
    """Two listeners as one."""

    def __init__(self, first: Report, second: Report) -> None:
        self._listeners = (first, second)

    def step(self, text: str) -> None:
        for listener in self._listeners:
            listener.step(text)

    def bar(self, text: str, done: int, total: int) -> None:
        for listener in self._listeners:
            listener.bar(text, done, total)

    def log(self, name: str, line: str) -> None:
        for listener in self._listeners:
            listener.log(name, line)
