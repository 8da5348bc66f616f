"""`GET /v1/tools`."""

from typing import Annotated, Any, Final

import orjson
from dormouse.tool.v1.tool_pb2 import Tool
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.openapi import errors, json_answer
from edge.services import services_of

from .schemas import ToolList

router = APIRouter(tags=["Agents"])

_EXAMPLE: Final[dict[str, Any]] = {
    "object": "list",
    "data": [
        {
            "name": "math",
            "object": "tool",
            "description": "Calculates: algebra, calculus, equations.",
            "input_schema": {
                "type": "object",
                "properties": {"expression": {"type": "string"}},
                "required": ["expression"],
            },
            "has_side_effects": False,
            "needs_approval": False,
            "limits": {"time_ms": 10000, "output_bytes": 32768},
        }
    ],
}


@router.get(
    "/v1/tools",
    operation_id="listTools",
    summary="List tools",
    description="What agents may call on the caller's behalf, by name. Tools of an agent's own are with the agent.",
    responses={200: json_answer(ToolList, "Tools by name.", _EXAMPLE), **errors(504)},
    response_class=Response,
)
async def list_tools(request: Request, caller: Annotated[Caller, Requires(Scope.TOOLS)]) -> Response:
    tools = await services_of(request).tools.tools(caller)
    answer = {"object": "list", "data": [_tool_to_json(tool) for _, tool in sorted(tools.items())]}
    return Response(orjson.dumps(answer), media_type="application/json")


def _tool_to_json(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "object": "tool",
        "description": tool.description,
        "input_schema": input_schema(tool),
        "has_side_effects": tool.has_side_effects,
        "needs_approval": tool.needs_approval,
        "limits": {"time_ms": tool.time_limit_ms, "output_bytes": tool.output_limit_bytes},
    }


def input_schema(tool: Tool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments; that of any object where it is none."""
    try:
        schema = orjson.loads(tool.input_json_schema)
    except orjson.JSONDecodeError:  # a foreign server's
        schema = None
    return schema if isinstance(schema, dict) else {"type": "object"}
