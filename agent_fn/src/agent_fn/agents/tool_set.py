"""The tools that a run of an agent may use: the toolboxes' as far as its caller lets it, and the client's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent_fn.agents.context import RunContext
from agent_fn.generation import ToolDefinition
from agent_fn.tools.port import Toolbox, ToolDescription


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A tool that runs here, and where it does."""

    description: ToolDescription
    toolbox: Toolbox


@dataclass(frozen=True, slots=True)
class ToolSet:
    """`own` run on this side, by name; `client` are handed back as calls, and shadow own ones of their name.

    `is_complete`: every toolbox could be asked what it holds.
    """

    own: Mapping[str, OwnTool]
    client: Sequence[ToolDefinition] = ()
    is_complete: bool = True

    def __bool__(self) -> bool:
        return bool(self.own or self.client)

    @property
    def definitions(self) -> Sequence[ToolDefinition]:
        """What a model is told of: own ones by name, then the client's."""
        return [*(tool.description.definition for tool in self.own.values()), *self.client]

    def is_at_client(self, name: str) -> bool:
        """Whether the client runs the tool."""
        return any(tool.name == name for tool in self.client)


def client_tools_only(context: RunContext) -> ToolSet:
    """For agents without tools: every call, also one of a tool that nobody has, is the client's."""
    return ToolSet({}, context.client_tools)


async def gather_tools(context: RunContext, *toolboxes: Toolbox) -> ToolSet:
    """The tools of these toolboxes, or of the run's; of two with one name the first one's counts."""
    asked = toolboxes or (context.toolbox,)
    at_client = {tool.name for tool in context.client_tools}
    own: dict[str, OwnTool] = {}
    for toolbox in asked:
        for description in await toolbox.describe():
            name = description.name
            if name not in at_client and (context.selection is None or name in context.selection):
                own.setdefault(name, OwnTool(description, toolbox))
    is_complete = all(toolbox.is_reachable for toolbox in asked)
    return ToolSet(dict(sorted(own.items())), context.client_tools, is_complete)
