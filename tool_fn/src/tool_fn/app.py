"""Wires tool_fn together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from dormouse.tool.v1 import tool_service_pb2, tool_service_pb2_grpc
from dormouse_runtime.server import Function

from tool_fn.effects import Effects
from tool_fn.invoker import Invoker
from tool_fn.ledger.ledger import Ledger
from tool_fn.means import open_means
from tool_fn.meter import ToolMeter
from tool_fn.registry import Registry
from tool_fn.runner import Runner
from tool_fn.servicer import ToolServicer
from tool_fn.settings import Settings

SERVICE = tool_service_pb2.DESCRIPTOR.services_by_name["ToolService"].full_name


@asynccontextmanager
async def open_function(settings: Settings) -> AsyncIterator[Function]:
    """Opens everything that tool_fn needs and closes it again."""
    async with open_means(settings.config, settings.secrets, settings.embed_target) as means:
        registry = Registry.build(means, settings.tools_path)
        meter = ToolMeter()
        runner = Runner(meter, settings.most_running)
        ledger = Ledger(settings.postgres_url, settings.kept_days)
        effects = Effects(ledger, runner, meter)
        servicer = ToolServicer(Invoker(registry, runner, effects))
        try:
            yield Function(
                services={SERVICE: partial(tool_service_pb2_grpc.add_ToolServiceServicer_to_server, servicer)},
                is_ready=_is_ready,
                drain=effects.drain,
                collectors=(meter,),
            )
        finally:
            await ledger.aclose()


async def _is_ready() -> bool:
    """Always once it is wired: calls whose peer is away are told so one by one."""
    return True
