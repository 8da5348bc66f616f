"""The program of a worker: imports one module, gives up every right that it can, and answers requests until the end.

    python -I -m dormouse_runtime.workers.child <module> <options as JSON>

It ends with its parent, at the end of its input, and by an alarm of its own shortly after a request's time is over.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from dormouse_runtime.workers.confinement import Limits, confine
from dormouse_runtime.workers.errors import RefusalError
from dormouse_runtime.workers.protocol import HELLO, REPLY_HEAD, REQUEST_HEAD, Reply

_PR_SET_PDEATHSIG: Final = 1
# The parent kills first; the alarm is for a system on which nothing ends a child with its parent.
_ALARM_SLACK_S: Final = 2.0
_CPU_S: Final = 1200  # of a worker's whole life; at half of it the worker asks to be replaced
_TRACEBACK_CHARACTERS: Final = 4000

Handler = Callable[[bytes], bytes]


def main(module: str, options: dict[str, Any]) -> int:
    """options: parent (its process id), path (where modules are looked for), memory_bytes, reserves_address_space,
    stack_bytes, answer_bytes."""
    _end_with(options["parent"])
    reading, writing = _take_pipes()
    sys.path[:] = options["path"]
    limits = Limits(options["memory_bytes"], _CPU_S, options["reserves_address_space"])
    try:
        entry = importlib.import_module(module)
        handle: Handler = entry.handle
        prepare = getattr(entry, "prepare", None)
        if prepare is not None:
            prepare()
        # What is imported stays: the collector need not look at it ever again.
        gc.collect()
        gc.freeze()
        missing = confine(limits)
    except BaseException:  # noqa: BLE001 - the parent logs it
        _send(writing, HELLO, Reply.DEFECT, traceback.format_exc()[-_TRACEBACK_CHARACTERS:].encode())
        return 1
    _send(writing, HELLO, Reply.ANSWER, json.dumps(missing).encode())
    # Linux counts the parent's memory at the fork as a peak of the child's, which hides smaller ones of its own.
    worn_bytes = max(int(options["memory_bytes"] * 0.75), _peak_bytes())

    def serve() -> None:
        while (request := _receive(reading)) is not None:
            ticket, limit_s, body = request
            signal.setitimer(signal.ITIMER_REAL, limit_s + _ALARM_SLACK_S)
            kind, answer = _answer(handle, body, options["answer_bytes"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            if _peak_bytes() > worn_bytes or time.process_time() > _CPU_S / 2:
                kind |= Reply.LAST
            _send(writing, ticket, kind, answer)
            del body, answer, request

    stack_bytes = options["stack_bytes"]
    if stack_bytes:
        threading.stack_size(stack_bytes)
        server = threading.Thread(target=serve, name="serve")
        server.start()
        server.join()
    else:
        serve()
    return 0


def _answer(handle: Handler, request: bytes, answer_bytes: int) -> tuple[Reply, bytes]:
    try:
        answer = handle(request)
    except RefusalError as error:
        return Reply.ERROR, str(error).encode(errors="replace")
    except MemoryError:
        return Reply.ERROR | Reply.LAST, b"This needs more memory than it may use. Try something smaller."
    except RecursionError:
        return Reply.ERROR, b"This is nested too deeply. Try something simpler."
    except Exception:  # noqa: BLE001 - the edge of a process: the parent logs it and tells the model
        return Reply.DEFECT, traceback.format_exc()[-_TRACEBACK_CHARACTERS:].encode(errors="replace")
    if len(answer) > answer_bytes:
        return Reply.ERROR, b"The result is too long. Ask for a part of it, or for a summary."
    return Reply.ANSWER, answer


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it went before we asked
        os._exit(1)


def _take_pipes() -> tuple[int, int]:
    """The two pipes under other numbers: what a library prints must not get between the frames."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return reading, writing


def _receive(descriptor: int) -> tuple[bytes, float, bytes] | None:
    head = _read(descriptor, REQUEST_HEAD.size)
    if head is None:
        return None
    ticket, limit_s, length = REQUEST_HEAD.unpack(head)
    body = _read(descriptor, length)
    return None if body is None else (ticket, limit_s, body)


def _read(descriptor: int, length: int) -> bytes | None:
    """None: the parent has closed the pipe."""
    parts = []
    while length:
        part = os.read(descriptor, min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _send(descriptor: int, ticket: bytes, kind: Reply, body: bytes) -> None:
    rest = memoryview(REPLY_HEAD.pack(ticket, kind, len(body)) + body)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    # Not sys.exit: nothing here is worth the interpreter's tidying up, and it may no longer open what that needs.
    os._exit(main(sys.argv[1], json.loads(sys.argv[2])))
