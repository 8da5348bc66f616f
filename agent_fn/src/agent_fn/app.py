"""Wires agent_fn together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from dormouse.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from dormouse_runtime.server import Function

from agent_fn.agents.registry import load_agents
from agent_fn.executor import Executor, Means
from agent_fn.models.catalog import ModelCatalog
from agent_fn.models.meter import ModelMeter
from agent_fn.models.ollama.client import OllamaClient, Timeouts
from agent_fn.servicer import AgentServicer
from agent_fn.settings import Settings
from agent_fn.threads.store import Threads
from agent_fn.tools.remote import RemoteTools

SERVICE = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].full_name


@asynccontextmanager
async def open_function(settings: Settings) -> AsyncIterator[Function]:
    """Opens everything that agent_fn needs and closes it again."""
    agents = load_agents()
    timeouts = Timeouts(
        settings.model_connect_timeout_s, settings.model_first_token_timeout_s, settings.model_read_timeout_s
    )
    meter = ModelMeter()
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(OllamaClient.open(settings.ollama_url, timeouts, meter))
        toolboxes: RemoteTools | None = None
        if settings.tool_target:
            service = RemoteTools.connect(settings.tool_target, settings.tool_retry_s)
            toolboxes = await opened.enter_async_context(service)
        catalog = ModelCatalog(client, default_model=settings.default_model, prefill=settings.prefill)
        threads = Threads(settings.postgres_url)
        executor = Executor(agents, Means(catalog, client, threads, toolboxes), budget_s=settings.execute_budget_s)
        servicer = AgentServicer(executor, catalog, threads)
        try:
            yield Function(
                services={SERVICE: partial(agent_service_pb2_grpc.add_AgentServiceServicer_to_server, servicer)},
                is_ready=_is_ready,
                drain=executor.drain,
                collectors=(meter,),
            )
        finally:
            await catalog.aclose()
            await threads.aclose()


async def _is_ready() -> bool:
    """Always once it is wired: runs that lack the model server or the database are told so one by one."""
    return True
