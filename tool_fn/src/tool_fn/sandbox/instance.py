"""Runs one program in an instance of its own, and keeps it within its limits.

The instance reaches the outside by the functions of `_Outside` alone. Everything else that its interpreter knows how
to ask for, files, sockets, its exit, ends it.
"""

import json
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from wasmtime import Store, WasmtimeError
from wasmtime.component import Component, Linker, Record

from tool_fn.sandbox.engine import MIB, make_engine
from tool_fn.sandbox.report import Program, Report, Stop
from tool_fn.sandbox.watch import Watch

MEMORY_BYTES: Final = 128 * MIB
_RANDOM_BYTES: Final = 4096  # at once; Python asks for 256 at most
_RESULT_CHARACTERS: Final = 64 * 1024
_WASI: Final = "0.2.9"
_UNKNOWN: Final = re.compile(r"unknown import: `wasi:([a-z]+)/[^`]*#([^`]*)`")


class _StoppedError(Exception):
    def __init__(self, stop: Stop, detail: str = "") -> None:
        super().__init__(stop)
        self.stop = stop
        self.detail = detail


class Interpreter:
    """The compiled component, ready for instances. One program at a time."""

    def __init__(self, code: Path) -> None:
        """Raises WasmtimeError when the code does not fit this version or processor."""
        self._engine = make_engine()
        self._watch = Watch(self._engine.increment_epoch)  # stops what runs at the next loop or call
        self._component = Component.deserialize_file(self._engine, str(code))
        entry = self._component.get_export_index("run")
        if entry is None:
            raise ValueError(f"{code} has no `run`")
        self._entry = entry
        self._outside = _Outside()
        self._linker = Linker(self._engine)
        self._outside.define(self._linker)
        self._linker.define_unknown_imports_as_traps(self._component)

    def run(self, program: Program) -> Report:
        """What the program did, within its time limit and some milliseconds. Whatever it does, this returns.

        The caller's stack has room for `engine.STACK_BYTES`.
        """
        self._outside.begin(program)
        try:
            return self._run(program.source, lambda: self._watch.set(self._outside.until))
        finally:
            self._watch.unset()

    def rehearse(self) -> None:
        """Runs something that is known to end, so that the first program is not slower than others."""
        self._outside.begin(Program("1 + 1", 60.0, 1000))
        self._run("1 + 1", lambda: None)

    def _run(self, source: str, watch: Callable[[], None]) -> Report:
        outside = self._outside
        store = Store(self._engine)
        try:
            store.set_limits(memory_size=MEMORY_BYTES)
            store.set_epoch_deadline(1)
            watch()  # after the deadline, which counts from the epoch that is now
            instance = self._linker.instantiate(store, self._component)
            run = instance.get_func(store, self._entry)
            assert run is not None
            value, error = _read(run(store, source))
            return outside.report(value=value, error=error)
        except _StoppedError as stopped:
            return outside.report(stop=stopped.stop, detail=stopped.detail)
        except WasmtimeError as trap:
            stop, detail = _explain(str(trap))
            return outside.report(stop=stop, detail=detail)
        except (MemoryError, UnicodeError):  # a text as large as the whole instance, or a program that is none
            return outside.report(stop="fault")
        finally:
            store.close()


class _Outside:
    """What an instance may ask for: two clocks, randomness, to print, to sleep; and empty answers to what every
    interpreter asks at its start."""

    def __init__(self) -> None:
        self._program = Program("", 0, 0)
        self._printed: list[str] = []
        self._room = 0
        self._is_cut = False
        self.until = 0.0
        self._slept_s = 0.0

    def begin(self, program: Program) -> None:
        self._program = program
        self._printed = []
        self._room = program.printed_bytes
        self._is_cut = False
        self.until = time.monotonic() + program.time_limit_s
        self._slept_s = 0.0

    def report(
        self, *, value: str | None = None, error: str | None = None, stop: Stop = "", detail: str = ""
    ) -> Report:
        return Report("".join(self._printed), self._is_cut, value, error, stop, detail)

    def define(self, linker: Linker) -> None:
        functions: dict[str, dict[str, Callable[..., Any]]] = {
            "cli/environment": {
                "get-environment": lambda _: [],
                "get-arguments": lambda _: [],
                "initial-cwd": lambda _: None,
            },
            "clocks/wall-clock": {"now": self._wall_clock},
            "clocks/monotonic-clock": {"now": self._monotonic_clock},
            "filesystem/preopens": {"get-directories": lambda _: []},
            "random/random": {"get-random-bytes": self._random_bytes},
        }
        with linker.root() as root:
            root.add_func("print", self._print)
            root.add_func("sleep", self._sleep)
            for name, members in functions.items():
                with root.add_instance(f"wasi:{name}@{_WASI}") as instance:
                    for member, function in members.items():
                        instance.add_func(member, function)

    def _print(self, _: object, text: str) -> bool:
        data = text.encode()
        if len(data) > self._room:
            text, self._is_cut = data[: self._room].decode(errors="ignore"), True
        self._room -= min(len(data), self._room)
        if text:
            self._printed.append(text)
        return not self._is_cut

    def _sleep(self, _: object, seconds: float) -> None:
        """Sleeping only moves the clocks on: nobody waits for it, and what would last too long ends now."""
        if not math.isfinite(seconds) or seconds < 0 or time.monotonic() + self._slept_s + seconds >= self.until:
            is_long = seconds > self._program.time_limit_s
            raise _StoppedError("time", f"It wanted to sleep for {seconds:g} s." if is_long else "")
        self._slept_s += seconds

    def _wall_clock(self, _: object) -> Record:
        now = time.time_ns() + int(self._slept_s * 1e9)
        record = Record()
        record.__dict__.update(seconds=now // 10**9, nanoseconds=now % 10**9)
        return record

    def _monotonic_clock(self, _: object) -> int:
        return time.monotonic_ns() + int(self._slept_s * 1e9)

    def _random_bytes(self, _: object, length: int) -> bytes:
        if length > _RANDOM_BYTES:
            raise _StoppedError("reach", "It asked for too much randomness at once.")
        return os.urandom(length)


def _read(result: object) -> tuple[str | None, str | None]:
    """Value and error. The program shares its memory with what writes this, so it may be anything."""
    try:
        answer = json.loads(str(result))
        value, error = answer["value"], answer["error"]
    except (ValueError, TypeError, KeyError, RecursionError) as wrong:
        raise _StoppedError("fault") from wrong
    for part in (value, error):
        if part is not None and not (isinstance(part, str) and len(part) <= _RESULT_CHARACTERS):
            raise _StoppedError("fault")
    return value, error


def _explain(trap: str) -> tuple[Stop, str]:
    if "wasm trap: interrupt" in trap:
        return "time", ""
    if "call stack exhausted" in trap:
        return "stack", ""
    unknown = _UNKNOWN.search(trap)
    if unknown:
        return "reach", f"It asked for {unknown[1]} ({unknown[2]})."
    return "fault", ""
