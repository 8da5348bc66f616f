"""A tool that takes a second: what is waited for is how many calls run side by side."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta
from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, typed_tool


class Wait(Arguments):
    """How long; `label` makes one call differ from another."""

    label: Annotated[str, Meta(description="What it is waited for.")]
    seconds: Annotated[float, Meta(description="How long.", ge=0, le=10)] = 1.0


async def _run(arguments: Wait, call: Call) -> str:
    await asyncio.sleep(arguments.seconds)
    return f"waited for {arguments.label}"


def build_tools(means: Means) -> Iterable[Tool]:
    """One tool: wait."""
    yield typed_tool(name="wait", description="Waits for some seconds.", input=Wait, run=_run)
