"""Tools that hang, crash and return what nobody could send."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, ToolError, typed_tool


class Nothing(Arguments):
    pass


class Text(Arguments):
    text: str


class Size(Arguments):
    characters: int
    character: str = "x"


class Marks(Arguments):
    folder: str


async def echo(arguments: Text, call: Call) -> str:
    return arguments.text


async def big(arguments: Size, call: Call) -> str:
    return arguments.character * arguments.characters


async def odd_text(arguments: Nothing, call: Call) -> str:
    call.progress("half\x00way \ud800", 0.5)
    call.output("a\x00b")
    return "lone \ud800 and \udfff, NUL \x00, fine \u00e9\U0001f600"


async def odd_error(arguments: Nothing, call: Call) -> str:
    raise ToolError("No \ud800 such \x00 thing.")


async def no_text(arguments: Nothing, call: Call) -> str:
    answer: Any = b"\xff\xfe"
    return answer  # type: ignore[no-any-return]


async def refuse(arguments: Text, call: Call) -> str:
    raise ToolError(arguments.text)


async def crash(arguments: Nothing, call: Call) -> str:
    raise RuntimeError("secret detail")


async def leave(arguments: Nothing, call: Call) -> str:
    sys.exit(3)


async def endless_depth(arguments: Nothing, call: Call) -> str:
    return await endless_depth(arguments, call)


async def hang(arguments: Marks, call: Call) -> str:
    """Says when it has begun and when it was stopped."""
    folder = Path(arguments.folder)
    (folder / "begun").touch()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        (folder / "stopped").touch()
        raise
    return "never"


async def stubborn(arguments: Nothing, call: Call) -> str:
    """Does not heed that it is stopped, for 3 s."""
    end = asyncio.get_running_loop().time() + 3
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "too late"


async def talk(arguments: Size, call: Call) -> str:
    """Tells more than anybody reads, from another thread too."""
    call.progress("first", 0.0)
    await asyncio.sleep(0.02)
    for number in range(arguments.characters):
        call.output(arguments.character)
        call.progress(f"step {number}")
    await asyncio.to_thread(call.progress, "last", 1.0)
    await asyncio.sleep(0.02)
    return arguments.character * arguments.characters


async def who(arguments: Nothing, call: Call) -> str:
    return f"{call.tenant} {call.user} {call.run_id} {call.remaining_s():.0f}"


def build_tools(means: Means) -> Iterable[Tool]:
    text = "For tests."
    yield typed_tool(name="echo", description=text, input=Text, run=echo)
    yield typed_tool(name="big", description=text, input=Size, run=big, output_limit_bytes=1000)
    yield typed_tool(name="odd_text", description=text, input=Nothing, run=odd_text)
    yield typed_tool(name="odd_error", description=text, input=Nothing, run=odd_error)
    yield typed_tool(name="no_text", description=text, input=Nothing, run=no_text)
    yield typed_tool(name="refuse", description=text, input=Text, run=refuse)
    yield typed_tool(name="crash", description=text, input=Nothing, run=crash)
    yield typed_tool(name="leave", description=text, input=Nothing, run=leave)
    yield typed_tool(name="endless_depth", description=text, input=Nothing, run=endless_depth)
    yield typed_tool(name="hang", description=text, input=Marks, run=hang)
    yield typed_tool(name="hang_briefly", description=text, input=Marks, run=hang, time_limit_s=0.2)
    yield typed_tool(name="stubborn", description=text, input=Nothing, run=stubborn, time_limit_s=0.2)
    yield typed_tool(name="talk", description=text, input=Size, run=talk, output_limit_bytes=1000)
    yield typed_tool(name="who", description=text, input=Nothing, run=who)
