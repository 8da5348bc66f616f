"""`/v1/agents`: what can run, and with what."""

from collections.abc import Collection
from typing import Annotated, Any, Final

import orjson
from dormouse.agent.v1.agent_pb2 import Agent
from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import APIRouter, Path, Request, Response

from edge.agents import Catalogue
from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError
from edge.openapi import errors, json_answer
from edge.run_wishes import known_tools
from edge.services import services_of

from .schemas import AgentList, AgentObject

router = APIRouter(tags=["Agents"])

AGENT_EXAMPLE: Final[dict[str, Any]] = {
    "id": "react",
    "object": "agent",
    "description": "Thinks, calls tools and looks at what they say, until it can answer.",
    "tools": ["math", "web_search"],
    "tools_complete": True,
    "capabilities": ["streaming", "threads", "client_tools"],
    "models": ["llama3.2:3b"],
}
_LIST_EXAMPLE = {"object": "list", "data": [AGENT_EXAMPLE], "default_model": "llama3.2:3b"}


@router.get(
    "/v1/agents",
    operation_id="listAgents",
    summary="List agents",
    responses={200: json_answer(AgentList, "Agents by id.", _LIST_EXAMPLE), **errors(504)},
    response_class=Response,
)
async def list_agents(request: Request, caller: Annotated[Caller, Requires(Scope.MODELS_READ)]) -> Response:
    services = services_of(request)
    catalogue = (await services.agents.catalogue()).granted(caller.grants)
    tools = await known_tools(services.tools, caller)
    data = [_agent_to_json(agent, catalogue, tools) for agent in catalogue.agents]
    return _json({"object": "list", "data": data, "default_model": catalogue.default_model or None})


@router.get(
    "/v1/agents/{agent_id}",
    operation_id="getAgent",
    summary="Look up an agent",
    responses={200: json_answer(AgentObject, "The agent.", AGENT_EXAMPLE), **errors(404, 504)},
    response_class=Response,
)
async def get_agent(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.MODELS_READ)],
    agent_id: Annotated[str, Path(description="Its id.", examples=["chat"])],
) -> Response:
    services = services_of(request)
    catalogue = (await services.agents.catalogue()).granted(caller.grants)
    agent = catalogue.agent(agent_id)
    if agent is None:
        reason = ErrorReason.ERROR_REASON_AGENT_NOT_FOUND
        raise ApiError.of(reason, f"The agent `{agent_id[:100]}` does not exist.", "agent")
    return _json(_agent_to_json(agent, catalogue, await known_tools(services.tools, caller)))


def _agent_to_json(agent: Agent, catalogue: Catalogue, tools: Collection[str] | None) -> dict[str, Any]:
    usable = {*agent.tools, *(tools or ())} if agent.any_tools else {*agent.tools}
    return {
        "id": agent.id,
        "object": "agent",
        "description": agent.description,
        "tools": sorted(usable),
        "tools_complete": tools is not None or not agent.any_tools,
        "capabilities": list(agent.capabilities),
        "models": catalogue.chat_models,
    }


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
