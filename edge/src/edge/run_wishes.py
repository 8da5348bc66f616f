"""What every protocol lets a client choose for a run: which tools it may use, and how much of everything."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from pydantic import Field

from .auth.caller import Caller
from .content import Count, Schema
from .errors import ApiError
from .runs.model import Limits
from .services import Services
from .tool_client import ToolClient

LIST_WAIT_S: Final = 3.0
"""So long a first list of tools may take, a start of the function included; a run then starts without a look at it."""

ToolName = Annotated[str, Field(min_length=1, max_length=128)]
ToolNames = Annotated[
    list[ToolName],
    Field(max_length=128, description="The tools that the agent may use. Left out: all of its own. Empty: none."),
]


class LimitWishes(Schema):
    """What a run may use up before its agent has to answer with what it has. The agent's own limits are the most."""

    iterations: Count | None = Field(None, description="Turns of the model.")
    tool_calls: Count | None = None
    tokens: Count | None = Field(None, description="Prompt and completion of all model calls together.")


def limits_of(wishes: LimitWishes | None) -> Limits | None:
    """The platform's form; None where nothing was asked for."""
    if wishes is None:
        return None
    return Limits(iterations=wishes.iterations or 0, tool_calls=wishes.tool_calls or 0, tokens=wishes.tokens or 0)


async def tools_of(
    services: Services, caller: Caller, agent_id: str, names: Sequence[str] | None, param: str
) -> Sequence[str] | None:
    """The selection, once all of it has been found to exist. While nobody can tell which tools there are, it counts.

    Raises TOOL_NOT_FOUND, also for a tool that the agent cannot use.
    """
    if not names:
        return names
    agent = (await services.agents.catalogue()).agent(agent_id)
    if agent is None:
        return names
    wanted = {name: index for index, name in enumerate(names) if name not in agent.tools}
    known = await known_tools(services.tools, caller, wanted) if wanted and agent.any_tools else {}
    if known is None:
        return names
    for name, index in wanted.items():
        if name not in known:
            message = f"The agent `{agent_id}` has no tool `{name[:100]}`."
            raise ApiError.of(ErrorReason.ERROR_REASON_TOOL_NOT_FOUND, message, f"{param}[{index}]")
    return names


async def known_tools(client: ToolClient, caller: Caller, wanted: Collection[str] = ()) -> Mapping[str, Any] | None:
    """The caller's tools by name; None while nobody can tell. A list that lacks what is wanted is read anew."""
    try:
        async with asyncio.timeout(LIST_WAIT_S):
            known = await client.tools(caller)
            return known if all(name in known for name in wanted) else await client.refresh(caller)
    except (TimeoutError, DormouseError):
        return None
