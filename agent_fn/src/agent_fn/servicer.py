"""AgentService: protos in and out, nothing more."""

from typing import Any

import grpc.aio
from dormouse.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from dormouse_runtime.identity import current_identity
from dormouse_runtime.logs import bind
from dormouse_runtime.redaction import allow_content

from agent_fn.convert import (
    execute_response,
    list_agents_response,
    prune_request,
    run_request,
    thread_state_request,
    thread_state_response,
)
from agent_fn.executor import Executor
from agent_fn.models.catalog import ModelCatalog
from agent_fn.threads.store import Threads

Context = grpc.aio.ServicerContext[Any, Any]

# The names of metadata: service tokens for ToolService and, for tools that read documents, for EmbedService.
_TOOLS_TOKEN = "x-dormouse-tools"  # noqa: S105
_DOCUMENTS_TOKEN = "x-dormouse-documents"  # noqa: S105


class AgentServicer(agent_service_pb2_grpc.AgentServiceServicer):
    """Errors are raised as DormouseError and mapped by the runtime's interceptor."""

    def __init__(self, executor: Executor, catalog: ModelCatalog, threads: Threads) -> None:
        self._executor = executor
        self._catalog = catalog
        self._threads = threads

    # It writes itself, which grpc.aio allows and its type stubs do not know.
    async def Execute(  # type: ignore[override]  # noqa: N802 - the name in the proto
        self, request: agent_service_pb2.ExecuteRequest, context: Context
    ) -> None:
        """Writes responses as fast as the caller reads them."""
        await context.send_initial_metadata(())  # tells the caller that nothing has to be started any more
        tools_token, documents_token = _metadata(context, _TOOLS_TOKEN), _metadata(context, _DOCUMENTS_TOKEN)
        run = run_request(request, current_identity().tenant, tools_token, documents_token)
        bind(run_id=run.run_id, thread_id=request.thread.thread_id)
        if run.safety.log_content:
            allow_content()
        del request  # it holds the whole conversation once more
        async with self._executor.execute(run) as outbox:
            while happened := await outbox.take():
                await context.write(execute_response(happened))

    async def ListAgents(  # noqa: N802
        self, request: agent_service_pb2.ListAgentsRequest, context: Context
    ) -> agent_service_pb2.ListAgentsResponse:
        """Answers without models where the model server is away."""
        return list_agents_response(self._executor.agents, await self._catalog.overview())

    async def GetThreadState(  # noqa: N802
        self, request: agent_service_pb2.GetThreadStateRequest, context: Context
    ) -> agent_service_pb2.GetThreadStateResponse:
        """Reads a thread of the caller's tenant."""
        state = await self._threads.state(thread_state_request(request, current_identity().tenant))
        return thread_state_response(state)

    async def PruneThreads(  # noqa: N802
        self, request: agent_service_pb2.PruneThreadsRequest, context: Context
    ) -> agent_service_pb2.PruneThreadsResponse:
        """Prunes threads of the caller's tenant."""
        refs, delete = prune_request(request, current_identity().tenant)
        await self._threads.prune(refs, delete=delete)
        return agent_service_pb2.PruneThreadsResponse()


def _metadata(context: Context, name: str) -> str:
    """Empty where the caller gives none."""
    return next((str(value) for key, value in context.invocation_metadata() or () if key == name), "")
