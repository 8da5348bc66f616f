"""`GET /v1/agents`."""

import orjson
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import CurrentCaller
from edge.openapi import errors, json_answer
from edge.services import services_of

from .schemas import AgentList

router = APIRouter(tags=["Agents"])

_EXAMPLE = {
    "object": "list",
    "data": [
        {
            "id": "chat",
            "object": "agent",
            "description": "Chats with a model.",
            "tools": [],
            "capabilities": ["streaming", "threads"],
        }
    ],
    "default_model": "llama3.2:3b",
}


@router.get(
    "/v1/agents",
    operation_id="listAgents",
    summary="List agents",
    responses={200: json_answer(AgentList, "Agents by id.", _EXAMPLE), **errors(504)},
    response_class=Response,
)
async def list_agents(request: Request, caller: CurrentCaller) -> Response:
    catalogue = await services_of(request).agents.catalogue()
    data = [
        {
            "id": agent.id,
            "object": "agent",
            "description": agent.description,
            "tools": list(agent.tools),
            "capabilities": list(agent.capabilities),
        }
        for agent in catalogue.agents
    ]
    answer = {"object": "list", "data": data, "default_model": catalogue.default_model or None}
    return Response(orjson.dumps(answer), media_type="application/json")
