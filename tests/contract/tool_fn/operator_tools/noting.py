"""Tools with a side effect that a test can count: a line in a file."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, ToolError, typed_tool


class Note(Arguments):
    """until: a file that is waited for after the line is written, and whose text is the result."""

    file: str
    until: str = ""
    end: str = "ok"


def write(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{line}\n")


async def note(arguments: Note, call: Call) -> str:
    write(Path(arguments.file), f"{call.tenant} {call.idempotency_key}")
    call.progress("noted")
    while arguments.until and not await asyncio.to_thread(Path(arguments.until).exists):
        await asyncio.sleep(0.01)
    if arguments.end == "error":
        raise ToolError("It was refused.")
    if arguments.end == "crash":
        raise RuntimeError("in the middle")
    return f"noted in {Path(arguments.file).name}"


def build_tools(means: Means) -> Iterable[Tool]:
    kinds = (("note", 20.0, False), ("note_briefly", 0.2, False), ("note_approved", 20.0, True))
    for name, time_limit_s, needs_approval in kinds:
        yield typed_tool(
            name=name,
            description="Writes a line.",
            input=Note,
            run=note,
            has_side_effects=True,
            needs_approval=needs_approval,
            time_limit_s=time_limit_s,
        )
