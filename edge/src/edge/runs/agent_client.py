"""agent_fn as the run engine calls it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import grpc
import grpc.aio
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest, ExecuteResponse
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from dormouse.agent.v1.run_event_pb2 import ActivityKind, RunEvent
from dormouse.agent.v1.safety_pb2 import FilterMatched
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.client import call_metadata
from dormouse_runtime.errors import DETAILS_KEY, DormouseError, from_rpc_error
from dormouse_runtime.identity import TokenIssuer

from edge.tool_scopes import tool_scopes

from .events import activity
from .ownership import Ownership

EXECUTE_TIMEOUT_S = 590.0
"""Below the 600 s that Knative gives a request; the function hands over long before."""

AUDIENCE = "agent_fn"

WAKING_AFTER_S = 0.2
"""A function that is there says at once that it has taken a call; one that has not by now is being started."""

TOOLS_METADATA = "x-dormouse-tools"
TOOLS_AUDIENCE = "tool_fn"
TOOLS_TTL_S = 700
"""A little longer than a call of Execute lasts: the next call brings the next token."""

DOCUMENTS_METADATA = "x-dormouse-documents"
DOCUMENTS_AUDIENCE = "embed_fn"
DOCUMENTS_SCOPES = ("documents:read",)
DOCUMENTS_TOOL = "rag_search"
"""The tool that reads them: without it nobody has a use for that token."""


class AgentClient:
    """Calls AgentService with a service token of the run's tenant and user.

    with_tools: agents get a token for tool_fn, too, to call tools with on the user's behalf. with_documents: and one
    for embed_fn, which tools read the tenant's documents with. on_match: hears what filters have found, which is in no
    log. wake: is told of each call's tenant, agent, tools and token for tool_fn ("": none) before it, to have ready
    what they need. on_tool_call: is told of tenant, agent and tool when the model has begun to call one that runs on
    this side.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        issuer: TokenIssuer,
        *,
        with_tools: bool = False,
        with_documents: bool = False,
        on_match: Callable[[Ownership, FilterMatched], None] = lambda own, match: None,
        wake: Callable[[str, str, Sequence[str] | None, str], None] = lambda tenant, agent_id, tools, token: None,
        on_tool_call: Callable[[str, str, str], None] = lambda tenant, agent_id, tool: None,
    ) -> None:
        self._stub = AgentServiceStub(channel)
        self._issuer = issuer
        self._with_tools = with_tools
        self._with_documents = with_documents
        self._on_match = on_match
        self._wake = wake
        self._on_tool_call = on_tool_call

    async def execute(self, own: Ownership, request: ExecuteRequest) -> AsyncGenerator[Sequence[RunEvent], None]:
        """The events of one Execute, those together that were sent together. Closing the generator cancels the call.

        Errors: what agent_fn says; FUNCTION_UNAVAILABLE when the call breaks off without a word.
        """
        token = self._issuer.mint(audience=AUDIENCE, tenant=own.tenant, user=own.user, run_id=own.run_id)
        metadata = call_metadata(token, own.request_id)
        tools, tools_token = list(request.tools.names) if request.HasField("tools") else None, ""
        if self._with_tools and tools != []:
            limit = request.safety.hosts.patterns if request.safety.HasField("hosts") else None
            tools_token = self._token(own, TOOLS_AUDIENCE, tool_scopes(tools, limit))
            metadata += ((TOOLS_METADATA, tools_token),)
        if self._with_tools and self._with_documents and (tools is None or DOCUMENTS_TOOL in tools):
            metadata += ((DOCUMENTS_METADATA, self._token(own, DOCUMENTS_AUDIENCE, DOCUMENTS_SCOPES)),)
        self._wake(own.tenant, request.agent_id, tools, tools_token)
        call = self._stub.Execute(request, timeout=EXECUTE_TIMEOUT_S, metadata=metadata)
        try:
            if not await _is_taken(call):
                yield [activity(ActivityKind.ACTIVITY_KIND_WAKING, AUDIENCE)]
            async for response in call:
                for event in response.events:
                    if event.HasField("tool_call_started") and not event.tool_call_started.at_client:
                        self._on_tool_call(own.tenant, request.agent_id, event.tool_call_started.name)
                yield self._without_matches(own, response.events)
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        finally:
            call.cancel()

    def _without_matches(self, own: Ownership, events: Sequence[RunEvent]) -> Sequence[RunEvent]:
        matches = [event.filter_matched for event in events if event.HasField("filter_matched")]
        for match in matches:
            self._on_match(own, match)
        return [event for event in events if not event.HasField("filter_matched")] if matches else events

    def _token(self, own: Ownership, audience: str, scopes: Sequence[str]) -> str:
        return self._issuer.mint(
            audience=audience,
            tenant=own.tenant,
            user=own.user,
            scopes=scopes,
            run_id=own.run_id,
            ttl_s=TOOLS_TTL_S,
        )


async def _is_taken(call: "grpc.aio.UnaryStreamCall[ExecuteRequest, ExecuteResponse]") -> bool:
    """Whether the function has the call by now, or the call is over: what is wrong then comes with its messages."""
    try:
        async with asyncio.timeout(WAKING_AFTER_S):
            await call.initial_metadata()
    except TimeoutError:
        return False
    except grpc.aio.AioRpcError:
        pass
    return True


def _translate(error: grpc.aio.AioRpcError) -> DormouseError:
    is_agents_own_word = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    if is_agents_own_word or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return from_rpc_error(error)
    # A process that dies in mid-call shows as UNAVAILABLE, CANCELLED, INTERNAL or UNKNOWN, by chance.
    return DormouseError(ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The agent function broke off.")
