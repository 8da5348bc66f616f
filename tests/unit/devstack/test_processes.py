"""Processes under our care: started until a line, stopped, restarted, never orphaned."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from devstack.errors import StartError
from devstack.keeper import Keeper
from devstack.process import LAUNCHER, Process
from devstack.services import Program, serving_addresses
from devstack.units import ServiceUnit

from devstack import log_pump
from tests.stack.endings import wait_ended

SERVING = '{"event": "serving", "address": "127.0.0.1:1"}'


def python(program: str, log: Path, **options: object) -> Process:
    return Process("sample", [sys.executable, "-I", "-c", program], env=dict(os.environ), log=log, **options)  # type: ignore[arg-type]


async def test_a_start_returns_the_line_that_was_waited_for(tmp_path: Path) -> None:
    process = python("import time; print('one'); print('two', flush=True); time.sleep(60)", tmp_path / "log")
    assert await process.start_until(lambda line: "w" in line, timeout=10) == "two"
    assert process.running
    assert await process.stop() == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


async def test_a_program_that_ends_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    process = python("print('the reason'); exit(3)", tmp_path / "log")
    with pytest.raises(StartError, match="sample ended with exit code 3") as caught:
        await process.start_until(lambda line: line == "ready", timeout=10)
    assert caught.value.log == ["the reason"]


async def test_a_program_that_does_not_get_ready_is_killed(tmp_path: Path) -> None:
    process = python("import time; time.sleep(60)", tmp_path / "log")
    with pytest.raises(StartError, match="was not ready after"):
        await process.start_until(lambda line: line == "ready", timeout=0.2)
    assert process.returncode == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = Process("sample", ["/nowhere/program"], env={}, log=tmp_path / "log")
    with pytest.raises(StartError) as caught:
        await process.start_until(lambda line: line == "ready", timeout=10)
    assert caught.value.log == ["launcher: cannot start /nowhere/program: No such file or directory"]


async def test_a_program_that_ignores_sigterm_is_killed_in_the_end(tmp_path: Path) -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)"
    process = python(f"{ignoring}; time.sleep(60)", tmp_path / "log")
    await process.start_until(lambda line: line == "up", timeout=10)
    assert await process.stop(timeout=0.1) == -signal.SIGKILL


async def test_a_frozen_program_can_be_stopped(tmp_path: Path) -> None:
    process = python("import time; print('up', flush=True); time.sleep(60)", tmp_path / "log")
    await process.start_until(lambda line: line == "up", timeout=10)
    process.send(signal.SIGSTOP)
    assert await process.stop() == -signal.SIGTERM


async def test_a_full_log_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pump, "MAX_LOG_BYTES", 1000)
    process = python("for number in range(30): print(f'{number:0100}')", tmp_path / "log")
    await process.start()
    await process.wait()
    await asyncio.to_thread(process.log.join)
    assert (tmp_path / "log").stat().st_size <= 1200
    assert (tmp_path / "log").read_text().endswith("29\n")
    assert (tmp_path / "log.1").exists()


async def test_a_unit_that_dies_is_started_again(tmp_path: Path) -> None:
    program = Program((sys.executable, "-I", "-c", f"import time; print('{SERVING}', flush=True); time.sleep(60)"), {})
    steps: asyncio.Queue[str] = asyncio.Queue()

    class Listener:
        def step(self, text: str) -> None:
            steps.put_nowait(text)

        def bar(self, text: str, done: int, total: int) -> None: ...

        def log(self, name: str, line: str) -> None: ...

    keeper = Keeper(ServiceUnit("sample", program, tmp_path / "log"), Listener(), lambda: None)
    await keeper.start()
    first = keeper.unit.process.pid
    os.kill(first, signal.SIGKILL)
    assert await steps.get() == "sample ended with signal SIGKILL; starting it again now"
    assert (await steps.get()).startswith("sample runs again")
    assert keeper.unit.process.pid != first
    assert keeper.restarts == 1
    await keeper.stop()
    assert not keeper.unit.process.running


@pytest.mark.parametrize("tie", ["die_with", "watch"])
async def test_a_program_ends_when_its_parent_is_killed(tmp_path: Path, tie: str) -> None:
    """By the kernel where it can, and by the watcher that other systems get."""
    launched = (
        f"import os, sys; sys.path.insert(0, {str(LAUNCHER.parent)!r}); import launcher;"
        f"launcher.{tie}(os.getppid(), 9); os.execvp('sleep', ['sleep', '60'])"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=sys.stderr);"
        "print(child.pid, flush=True); child.wait()",
        launched,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    while psutil.Process(child).name() != "sleep":
        await asyncio.sleep(0.01)
    parent.kill()
    await parent.wait()
    await wait_ended([child], timeout=5)


def test_only_the_serving_line_tells_addresses() -> None:
    line = '{"ts":"x","event":"serving","address":"127.0.0.1:5","metrics_address":"127.0.0.1:6"}'
    assert serving_addresses(line) == ("127.0.0.1:5", "127.0.0.1:6")
    assert serving_addresses(SERVING) == ("127.0.0.1:1", "")
    for other in ('{"event": "not yet serving"}', '["serving"]', "serving", '{"event": "serving"'):
        assert serving_addresses(other) is None
