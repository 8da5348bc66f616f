"""python: runs a program in a sandbox."""

import logging
import re
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from dormouse_runtime.workers import WorkerKind
from dormouse_runtime.workers.kind import MIB
from msgspec import Meta

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.sandbox.component import Component
from tool_fn.sandbox.report import Program, Report
from tool_fn.tool import Call, Tool, ToolError, typed_tool
from tool_fn.workers import Workers

_logger = logging.getLogger(__name__)
_LIMIT_S: Final = 10.0
# Past a program's own limit: to start a worker, to wait for one, to hand the report over.
_SLACK_S: Final = 2.0
_PRINTED_BYTES: Final = 24_000
_FENCE: Final = re.compile(r"\s*```(?:python|py)?[ \t]*\n(.*?)\n?```\s*", re.DOTALL)

WORKER: Final = WorkerKind(
    "python",
    "tool_fn.sandbox.worker",
    memory_bytes=384 * MIB,
    processes=4,
    stack_bytes=64 * MIB,  # holds the sandbox's own, of 48
    reserves_address_space=True,
)

_DESCRIPTION: Final = """\
Runs Python code in a sandbox and returns what it prints and the value of its last line. Use it to calculate, count, \
sort, parse or transform exactly instead of guessing. Every call starts afresh: nothing is left of earlier calls, so \
put all data into the code. There is Python's standard library, but no other package (no numpy, no pandas), no files, \
no network, no processes, no threads, no input. At most 10 seconds and 128 MB."""

_STOPS: Final = {
    "time": "Stopped: it did not end within {limit:g} s, in which sleeping counts.",
    "stack": "Stopped: it is nested too deeply, or calls itself without an end.",
    "reach": "Stopped: it reached for something outside of the sandbox. There are no files, no network, no processes.",
    "fault": "Stopped: its interpreter broke down, perhaps for want of memory. Try it with less.",
}


class PythonArguments(Arguments):
    code: Annotated[
        str,
        Meta(min_length=1, max_length=100_000, description="The program. End it with an expression to see its value."),
    ]


def build_tools(means: Means) -> Iterable[Tool]:
    means.workers.declare(WORKER)
    sandbox = Sandbox(means.workers)
    yield typed_tool(
        name="python",
        description=_DESCRIPTION,
        input=PythonArguments,
        run=sandbox.run,
        time_limit_s=_LIMIT_S + 5.0,
    )


class Sandbox:
    """Runs programs in workers of the kind `WORKER`."""

    def __init__(self, workers: Workers, component: Component | None = None) -> None:
        self._workers = workers
        self._component = component or Component()
        self._is_usable = False
        self._told = ""

    async def run(self, arguments: PythonArguments, call: Call) -> str:
        self._check()
        limit_s = max(min(_LIMIT_S, call.remaining_s() - _SLACK_S), 0.1)
        program = msgspec.json.encode(Program(_bare(arguments.code), limit_s, _PRINTED_BYTES))
        answer = await self._workers.call(WORKER.name, program, limit_s + _SLACK_S / 2)
        return _tell(msgspec.json.decode(answer, type=Report), limit_s)

    def _check(self) -> None:
        if self._is_usable:
            return
        problem = self._component.problem()
        if not problem:
            self._is_usable = True
            return
        if problem != self._told:
            self._told = problem
            _logger.error(
                "the sandbox of the python tool cannot be used: run `make sandbox`", extra={"reason": problem}
            )
        raise ToolError("Python cannot be run here: its sandbox is not set up. Answer without running code.")


def _bare(code: str) -> str:
    """The program without the fence of Markdown that some models put around it."""
    fenced = _FENCE.fullmatch(code)
    return fenced[1] if fenced else code


def _tell(report: Report, limit_s: float) -> str:
    """What the model reads. Raises ToolError for a program that failed or was stopped."""
    printed = report.printed + ("\n… (more was printed and left out)" if report.is_cut else "")
    failure = (
        f"{_STOPS[report.stop].format(limit=round(limit_s, 1))} {report.detail}".rstrip()
        if report.stop
        else report.error
    )
    if failure is not None:
        raise ToolError(f"{failure}\n\nPrinted before that:\n{printed}" if printed else failure)
    if report.value is None:
        return printed or "The code ran and printed nothing. End it with an expression or print what you want to see."
    if not printed:
        return report.value
    return f"{printed}{'' if printed.endswith(chr(10)) else chr(10)}Value of the last line: {report.value}"
