"""Workers: used again, replaced when they hang, crash or talk nonsense, gone when nobody needs them."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from dormouse_runtime.workers import (
    RefusalError,
    TimeLimitError,
    WorkerError,
    WorkerKind,
    WorkerLostError,
    Workers,
    WorkerUnavailableError,
)
from dormouse_runtime.workers.kind import MIB

OBEDIENT = WorkerKind("obedient", "tests.unit.runtime.workers.obedient", memory_bytes=256 * MIB)
LIMIT_S = 10.0


@contextlib.asynccontextmanager
async def opened(kind: WorkerKind = OBEDIENT) -> AsyncIterator[Workers]:
    workers = Workers()
    workers.declare(kind)
    try:
        yield workers
    finally:
        await workers.close()


@pytest.fixture(scope="module")
async def workers() -> AsyncIterator[Workers]:
    async with opened() as workers:
        yield workers


async def call(workers: Workers, code: str, limit_s: float = LIMIT_S) -> str:
    return (await workers.call("obedient", code.encode(), limit_s)).decode()


async def gone(pid: int) -> bool:
    """True once the process is no more, False when that takes seconds."""
    for _ in range(500):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_worker_is_used_again(workers: Workers) -> None:
    assert await call(workers, "out = os.getpid()") == await call(workers, "out = os.getpid()")


async def test_calls_at_the_same_time_get_their_own_answers(workers: Workers) -> None:
    answers = await asyncio.gather(*(call(workers, f"time.sleep(0.01); out = {number}") for number in range(20)))
    assert answers == [str(number) for number in range(20)]
    assert len(workers.pids("obedient")) <= OBEDIENT.processes


async def test_a_call_that_waits_gets_a_worker_of_its_own() -> None:
    async with opened() as workers, asyncio.TaskGroup() as tasks:
        long = tasks.create_task(call(workers, "time.sleep(60)"))
        await asyncio.sleep(0)  # it has its place now
        assert await call(workers, "out = 'here'") == "here"
        assert len(workers.pids("obedient")) == 2
        long.cancel()


async def test_a_sentence_for_the_model_comes_through_and_the_worker_stays(workers: Workers) -> None:
    pid = await call(workers, "out = os.getpid()")
    with pytest.raises(RefusalError, match=r"^There is no such column\.$"):
        await call(workers, "raise RefusalError('There is no such column.')")
    assert await call(workers, "out = os.getpid()") == pid


async def test_what_nobody_foresaw_is_logged_in_full_and_told_in_short(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(WorkerError) as error:
        await call(workers, "raise ValueError('an inner matter')")
    assert "ValueError" in str(error.value)
    assert "inner" not in str(error.value)
    assert any("an inner matter" in str(record.__dict__.get("traceback")) for record in caplog.records)


async def test_a_hung_call_ends_at_its_limit_and_the_next_one_is_answered(workers: Workers) -> None:
    pid = int(await call(workers, "out = os.getpid()"))
    began = asyncio.get_running_loop().time()
    with pytest.raises(TimeLimitError, match=r"longer than 0\.2 s"):
        await call(workers, "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\nwhile True: pass", 0.2)
    assert asyncio.get_running_loop().time() - began < 2
    assert await call(workers, "out = 'fresh'") == "fresh"
    assert await gone(pid)


@pytest.mark.parametrize(
    "code",
    [
        "os._exit(3)",
        "os._exit(0)",
        "ctypes.string_at(1)",
        "raise SystemExit",
        "resource.setrlimit; os.close(3); os.close(4); time.sleep(60)",
    ],
)
async def test_a_crash_is_an_error_and_the_next_call_is_answered(workers: Workers, code: str) -> None:
    with pytest.raises(WorkerError):
        await call(workers, code)
    assert await call(workers, "out = 'fresh'") == "fresh"


@pytest.mark.parametrize(
    "code",
    [
        "os.write(4, b'x' * 64)",
        r"os.write(4, bytes(8) + b'\x00\x00\x00\x00\x02hi'); time.sleep(60)",
        r"os.write(4, bytes(8) + b'\x00\xff\xff\xff\xff'); time.sleep(60)",
    ],
)
async def test_a_forged_answer_is_recognised(workers: Workers, code: str) -> None:
    with pytest.raises(WorkerLostError):
        await call(workers, code)
    assert await call(workers, "out = 'fresh'") == "fresh"


async def test_an_answer_cannot_be_written_in_advance(workers: Workers) -> None:
    forge = r"t = threading.Timer(0.0, lambda: os.write(4, bytes(8) + b'\0\0\0\0\2hi')); t.start()"
    with contextlib.suppress(WorkerLostError):
        await call(workers, forge)
    with contextlib.suppress(WorkerLostError):
        assert await call(workers, "time.sleep(0.05); out = 'mine'") == "mine"
    assert await call(workers, "out = 'mine'") == "mine"


async def test_an_answer_that_is_too_long_is_refused() -> None:
    async with opened(WorkerKind("obedient", OBEDIENT.module, answer_bytes=1000)) as workers:
        assert await call(workers, "out = 'x' * 1000")
        with pytest.raises(WorkerError, match="too long"):
            await call(workers, "out = 'x' * 1001")
        assert await call(workers, "out = 1") == "1"


async def test_what_a_library_prints_is_no_part_of_the_answer(workers: Workers) -> None:
    noise = "print('noise'); os.write(1, b'noise'); os.write(2, b'noise'); out = 'answer'"
    assert await call(workers, noise) == "answer"
    assert await call(workers, "out = 'next'") == "next"


async def test_memory_past_the_limit_is_an_error(workers: Workers) -> None:
    with pytest.raises(WorkerError, match="more memory"):
        await call(workers, "out = len(bytearray(400 << 20))")
    with pytest.raises(WorkerError, match="more memory"):
        await call(workers, "out = []\nwhile True: out.append(bytes(1 << 20))")
    assert await call(workers, "out = 'fresh'") == "fresh"


async def test_a_worker_that_took_most_of_its_memory_is_replaced() -> None:
    # Linux lets a child's peak begin with its parent's memory, which would hide a smaller one.
    memory_bytes = 256 * MIB + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 27 // 20
    async with opened(WorkerKind("obedient", OBEDIENT.module, memory_bytes)) as workers:
        pid = await call(workers, "out = os.getpid()")
        assert await call(workers, f"x = bytearray({memory_bytes * 4 // 5}); out = os.getpid()") == pid
        assert await call(workers, "out = os.getpid()") != pid


async def test_a_worker_is_not_worn_by_the_memory_of_its_parent() -> None:
    ballast = bytearray(b"x") * (150 * MIB)
    async with opened(WorkerKind("obedient", OBEDIENT.module, 128 * MIB)) as workers:
        pids = {await call(workers, "out = os.getpid()") for _ in range(3)}
    assert len(pids) == 1
    del ballast


async def test_a_cancelled_call_takes_its_worker_with_it() -> None:
    async with opened() as workers:
        pid = int(await call(workers, "out = os.getpid()"))
        task = asyncio.create_task(call(workers, "time.sleep(60)"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await call(workers, "out = 'fresh'") == "fresh"
        assert await gone(pid)


async def test_a_call_that_is_cancelled_while_it_waits_leaves_the_worker_to_others() -> None:
    async with opened(WorkerKind("obedient", OBEDIENT.module, processes=1)) as workers:
        first = asyncio.create_task(call(workers, "time.sleep(0.1); out = 1"))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(call(workers, "out = 2"))
        third = asyncio.create_task(call(workers, "out = 3"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await first == "1"
        assert await third == "3"
        assert len(workers.pids("obedient")) == 1


async def test_a_worker_without_work_goes() -> None:
    async with opened(WorkerKind("obedient", OBEDIENT.module, idle_s=0.05)) as workers:
        assert await gone(int(await call(workers, "out = os.getpid()")))
        assert workers.pids("obedient") == []
        assert await call(workers, "out = 'again'") == "again"


async def test_a_worker_that_died_in_its_sleep_is_not_asked(workers: Workers) -> None:
    pid = int(await call(workers, "out = os.getpid()"))
    os.kill(pid, signal.SIGKILL)
    assert await gone(pid)
    while pid in workers.pids("obedient"):  # the event loop has to hear of it
        await asyncio.sleep(0.01)
    assert await call(workers, "out = 'fresh'") == "fresh"


async def test_a_warm_worker_waits_for_its_first_call() -> None:
    async with opened() as workers:
        workers.warm("obedient")
        workers.warm("obedient")
        assert await call(workers, "out = 1") == "1"
        assert len(workers.pids("obedient")) == 1


@pytest.mark.parametrize("module", ["tests.unit.runtime.workers.unprepared", "no.such.module"])
async def test_a_worker_that_cannot_start_says_so(module: str, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(WorkerKind("broken", module)) as workers:
        for _ in range(2):
            with pytest.raises(WorkerUnavailableError, match="cannot be used now"):
                await workers.call("broken", b"", LIMIT_S)
    assert any(record.__dict__.get("traceback") for record in caplog.records)


async def test_closing_ends_everything_that_runs() -> None:
    workers = Workers()
    workers.declare(OBEDIENT)
    pid = int(await call(workers, "out = os.getpid()"))
    running = asyncio.create_task(call(workers, "time.sleep(60)"))
    await asyncio.sleep(0)
    await workers.close()
    assert await gone(pid)
    with pytest.raises(WorkerError):
        await running
    with pytest.raises(WorkerUnavailableError, match="shutting down"):
        await call(workers, "out = 1")


async def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(f"""
import asyncio, sys
sys.path[:] = {sys.path!r}
from dormouse_runtime.workers import Workers, WorkerKind
async def main():
    workers = Workers()
    workers.declare(WorkerKind("obedient", {OBEDIENT.module!r}))
    print((await workers.call("obedient", b"out = os.getpid()", 10)).decode(), flush=True)
    await workers.call("obedient", b"while True: pass", 60)
asyncio.run(main())
""")
    parent = await asyncio.create_subprocess_exec(sys.executable, program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    assert await gone(child)


async def test_a_conversation_has_its_worker_to_itself() -> None:
    async with opened(WorkerKind("obedient", OBEDIENT.module, processes=1)) as workers:
        async with workers.conversation("obedient") as ask:
            pid = await ask(b"os.kept = 1; out = os.getpid()", LIMIT_S)
            other = asyncio.create_task(call(workers, "out = os.getpid()"))
            with pytest.raises(RefusalError):
                await ask(b"raise RefusalError('No.')", LIMIT_S)
            assert await ask(b"out = os.kept", LIMIT_S) == b"1"
            assert not other.done()
        assert await other == pid.decode()


async def test_a_conversation_that_breaks_off_takes_its_worker_with_it() -> None:
    async with opened(WorkerKind("obedient", OBEDIENT.module, processes=1)) as workers:
        pid = 0
        with contextlib.suppress(LookupError):
            async with workers.conversation("obedient") as ask:
                pid = int(await ask(b"out = os.getpid()", LIMIT_S))
                raise LookupError
        assert await gone(pid)
        assert await call(workers, "out = 'fresh'") == "fresh"
