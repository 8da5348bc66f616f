"""The program inside of the sandbox: CPython runs this as WebAssembly, and this runs what it is given.

It is imported once, when the component is built, with the modules that programs may use; what is imported then is part
of the component. It is not a module of tool_fn: nothing here can import it. There is no file to import from at run
time, so `import` finds what is listed in `modules.py`, or nothing.
"""

import ast
import contextlib
import gc
import io
import json
import linecache
import os
import random
import sys
import time
import traceback
import types
import warnings

import modules  # noqa: F401 - imports what programs may use
import wit_world

_FILE = "<code>"
_VALUE_CHARACTERS = 10_000
_MESSAGE_CHARACTERS = 2_000
_FIRST_FRAMES, _LAST_FRAMES = 3, 7
_DIGITS = 100_000
_dumps = json.dumps  # a program may put something else into the module


class WitWorld(wit_world.WitWorld):
    """What the component exports."""

    def run(self, source: str) -> str:
        # So that tracebacks, and inspect, show the program's lines.
        linecache.cache[_FILE] = (len(source), None, source.splitlines(keepends=True), _FILE)
        value = error = None
        try:
            value = _run(source)
        except SystemExit as ended:
            error = None if ended.code in (None, 0) else f"SystemExit: {_cut(str(ended.code), _MESSAGE_CHARACTERS)}"
        except BaseException as raised:  # noqa: BLE001 - whatever the program raises is its result
            error = _explain(raised)
        with contextlib.suppress(ValueError, OSError):  # the program closed it
            _printed.flush()
        return _dumps({"value": value, "error": error})


def _run(source: str) -> str | None:
    """What the last line gave, when that is an expression and not None."""
    program = ast.parse(source, _FILE)
    last = None
    if program.body and isinstance(program.body[-1], ast.Expr):
        last = ast.Expression(program.body.pop().value)
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    names = main.__dict__
    if program.body:
        exec(compile(program, _FILE, "exec"), names)  # noqa: S102 - this is the sandbox
    if last is None:
        return None
    value = eval(compile(last, _FILE, "eval"), names)  # noqa: S307
    return None if value is None else _cut(repr(value), _VALUE_CHARACTERS)


class _Printed(io.RawIOBase):
    """What is printed leaves the sandbox at once, so that it is there even if the program is stopped."""

    def __init__(self) -> None:
        self._wanted = True

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        data = bytes(data)
        if self._wanted:
            self._wanted = wit_world.print(data.decode("utf-8", "replace"))
        return len(data)


class _Finder:
    """Stands where `import` looks for modules that are not loaded yet."""

    @staticmethod
    def find_spec(name: str, path=None, target=None) -> None:
        raise ModuleNotFoundError(
            f"{name!r} is not in the sandbox. There is Python's standard library alone, and of it nothing that needs"
            " files, the network, processes or threads.",
            name=name,
        )


def _sleep(seconds, /) -> None:
    if not isinstance(seconds, int | float):
        raise TypeError(f"{type(seconds).__name__!r} object cannot be interpreted as a number of seconds")
    if not seconds >= 0:
        raise ValueError("sleep length must be non-negative")
    wit_world.sleep(float(seconds))


def _seed(a=None, version=2) -> None:
    """random.seed, which every start calls: with 256 bits instead of 20,000, as the host hands them over one by one."""
    random._inst.seed(os.urandom(32) if a is None else a, version)


def _explain(error: BaseException) -> str:
    """A traceback with the program's lines and without the sandbox's, short enough for a model."""
    lines = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"{_last_line(cause)}\n(while this was handled:)")
    if not isinstance(error, SyntaxError):
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        lines += _show(frames)
    lines.append("".join(traceback.format_exception_only(error)).rstrip())
    return _cut("\n".join(lines), _MESSAGE_CHARACTERS + 200 * len(lines))


def _show(frames: list[traceback.FrameSummary]) -> list[str]:
    if not frames:
        return []
    lines = ["Traceback (most recent call last):"]
    omitted = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    for number, frame in enumerate(frames):
        if omitted > 0 and _FIRST_FRAMES <= number < _FIRST_FRAMES + omitted:
            if number == _FIRST_FRAMES:
                lines.append(f"  … {omitted} more …")
            continue
        place = "" if frame.filename == _FILE else f"{frame.filename.rpartition('/')[2]}, "
        shown = f": {_cut(frame.line, 160)}" if frame.line else ""
        lines.append(f"  {place}line {frame.lineno}, in {frame.name}{shown}")
    return lines


def _last_line(error: BaseException) -> str:
    return _cut("".join(traceback.format_exception_only(error)).rstrip(), _MESSAGE_CHARACTERS)


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    half = length // 2
    return f"{text[:half]} … {len(text) - 2 * half} more characters … {text[-half:]}"


def _rehearse() -> None:
    """What Python makes when it first compiles, formats and fails is made now, not in every run."""
    _run("import math\nx = [str(i) for i in range(3)]\nf'{x}'")
    for broken in ("1 +", "def f(x): return x.y\nf(1 / 3)"):
        try:
            _run(broken)
        except (SyntaxError, AttributeError) as error:
            _explain(error)
    _dumps({"value": None, "error": ""})
    linecache.cache.clear()


# The state that every run starts from is made here, once: nothing to import from, nothing to read, nothing to collect.
sys.path.clear()
sys.path_hooks.clear()
sys.path_importer_cache.clear()
sys.meta_path[:] = [_Finder]
sys.set_int_max_str_digits(_DIGITS)
_printed = io.TextIOWrapper(
    io.BufferedWriter(_Printed(), 4096), encoding="utf-8", errors="backslashreplace", line_buffering=True
)
sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = _printed
sys.stdin = sys.__stdin__ = io.StringIO("")
time.sleep = _sleep
random.seed = _seed
warnings.simplefilter("ignore")
_rehearse()
gc.collect()
gc.freeze()
