"""One worker as its parent sees it: started, asked, ended."""

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from typing import Final

from dormouse_runtime.workers.errors import (
    RefusalError,
    TimeLimitError,
    WorkerFailedError,
    WorkerLostError,
    WorkerUnavailableError,
)
from dormouse_runtime.workers.kind import WorkerKind
from dormouse_runtime.workers.pipes import Pipes
from dormouse_runtime.workers.protocol import HELLO, REPLY_HEAD, REQUEST_HEAD, TICKET_BYTES, Reply

_logger = logging.getLogger(__name__)
_HELLO_BYTES: Final = 64 * 1024
# What the dynamic linker may need to find Python at all. Everything else in the environment may be a secret.
_INHERITED: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")
_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    # One call at a time: threads of the linear algebra libraries would only take memory and the other workers' cores.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Few allocation arenas, so that memory is given back.
    "MALLOC_ARENA_MAX": "2",
}
_OPTIONS: Final = ("-I", "-X", "utf8")


class Worker:
    """A child process that is ready for requests. Not for two at the same time."""

    def __init__(self, kind: WorkerKind, process: asyncio.subprocess.Process, pipes: Pipes) -> None:
        self.kind = kind
        self.missing: list[str] = []  # protections that this system does not offer
        self.usable = True  # False: end it and take another
        self._process = process
        self._pipes = pipes

    @classmethod
    async def start(cls, kind: WorkerKind) -> "Worker":
        """Start one and wait until it is ready. WorkerUnavailableError when that fails; the log says why."""
        pipes = await Pipes.open()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *_OPTIONS,
                "-m",
                "dormouse_runtime.workers.child",
                kind.module,
                _options(kind),
                stdin=pipes.child_reads,
                stdout=pipes.child_writes,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(os.environ),
                cwd="/",
                start_new_session=True,  # the terminal's Ctrl-C is for the function
            )
        except BaseException as error:
            pipes.close()
            if not isinstance(error, OSError):
                raise
            _logger.error("a worker cannot be started", extra={"worker": kind.name, "reason": str(error)})
            raise _unavailable(kind) from error
        finally:
            pipes.close_child_ends()
        worker = cls(kind, process, pipes)
        try:
            await worker._hello()
        except BaseException:
            worker.kill()
            await asyncio.shield(worker.wait())
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, request: bytes, time_limit_s: float) -> bytes:
        """The answer to one request. Errors: RefusalError as the module raised it, and the others but
        WorkerUnavailableError.

        Whenever the worker may not be used again afterwards, on cancellation too, `usable` is False.
        """
        usable, self.usable = self.usable, False
        ticket = secrets.token_bytes(TICKET_BYTES)
        try:
            async with asyncio.timeout(time_limit_s):
                self._pipes.writer.write(REQUEST_HEAD.pack(ticket, time_limit_s, len(request)))
                self._pipes.writer.write(request)
                await self._pipes.writer.drain()
                reply, body = await self._read(ticket, self.kind.answer_bytes)
        except TimeoutError as error:
            raise TimeLimitError(f"Stopped: this took longer than {time_limit_s:g} s.") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise await self._lost() from error
        self.usable = usable and Reply.LAST not in reply
        reply &= ~Reply.LAST
        if reply == Reply.ANSWER:
            return body
        if reply == Reply.ERROR:
            raise RefusalError(body.decode(errors="replace"))
        if reply == Reply.DEFECT:
            text = body.decode(errors="replace")
            _logger.error("a worker failed", extra={"worker": self.kind.name, "traceback": text})
            raise WorkerFailedError(f"This failed inside ({_last_type(text)}). Try it in another way.")
        self.usable = False
        raise WorkerLostError("This broke off without an answer. Try something simpler.")

    def kill(self) -> None:
        """End it now. Whoever started it waits for it afterwards."""
        self.usable = False
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                return

    async def wait(self) -> int:
        """Until the process is gone: its exit code, negative for a signal."""
        self._pipes.close()
        return await self._process.wait()

    async def _hello(self) -> None:
        try:
            async with asyncio.timeout(self.kind.start_limit_s):
                reply, body = await self._read(HELLO, _HELLO_BYTES)
        except TimeoutError as error:
            _logger.error("a worker is not ready in time", extra={"worker": self.kind.name})
            raise _unavailable(self.kind) from error
        except (OSError, asyncio.IncompleteReadError, WorkerLostError) as error:
            self.kill()
            code = await self.wait()
            _logger.error("a worker ended at its start", extra={"worker": self.kind.name, "exit": _exit(code)})
            raise _unavailable(self.kind) from error
        if reply != Reply.ANSWER:
            text = body.decode(errors="replace")
            _logger.error("a worker cannot start", extra={"worker": self.kind.name, "traceback": text})
            raise _unavailable(self.kind)
        self.missing = json.loads(body)

    async def _read(self, ticket: bytes, limit: int) -> tuple[Reply, bytes]:
        reader = self._pipes.reader
        answered, reply, length = REPLY_HEAD.unpack(await reader.readexactly(REPLY_HEAD.size))
        known = answered == ticket and reply <= Reply.ERROR | Reply.DEFECT | Reply.LAST
        if not known or length > max(limit, _HELLO_BYTES):
            _logger.error("a worker answered nonsense", extra={"worker": self.kind.name})
            raise WorkerLostError("This broke off without an answer. Try something simpler.")
        return Reply(reply), await reader.readexactly(length)

    async def _lost(self) -> WorkerLostError:
        self.kill()
        code = await self.wait()
        _logger.warning("a worker ended in a call", extra={"worker": self.kind.name, "exit": _exit(code)})
        return WorkerLostError("This ran out of its limits and was stopped. Try something smaller.")


def _options(kind: WorkerKind) -> str:
    return json.dumps(
        {
            "parent": os.getpid(),
            "path": [os.path.abspath(folder) for folder in sys.path],  # noqa: PTH100 - "" is a folder here
            "memory_bytes": kind.memory_bytes,
            "reserves_address_space": kind.reserves_address_space,
            "stack_bytes": kind.stack_bytes,
            "answer_bytes": kind.answer_bytes,
        }
    )


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {**_ENVIRONMENT, **{name: ours[name] for name in _INHERITED if name in ours}}


def _unavailable(kind: WorkerKind) -> WorkerUnavailableError:
    return WorkerUnavailableError(f"This cannot be used now: the {kind.name} process does not start.")


def _exit(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _last_type(traceback: str) -> str:
    """The name of the exception that a traceback ends with."""
    for line in reversed(traceback.splitlines()):
        if line and not line.startswith((" ", "\t")):
            return line.partition(":")[0].rpartition(".")[2][:60]
    return "unknown"
