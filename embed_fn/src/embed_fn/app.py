"""Wires embed_fn together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from dormouse.embed.v1 import embed_service_pb2, embed_service_pb2_grpc
from dormouse_runtime.server import Function

from embed_fn.means import open_means
from embed_fn.servicer import EmbedServicer
from embed_fn.settings import Settings

SERVICE = embed_service_pb2.DESCRIPTOR.services_by_name["EmbedService"].full_name


@asynccontextmanager
async def open_function(settings: Settings) -> AsyncIterator[Function]:
    """Opens everything that embed_fn needs and closes it again."""
    async with open_means(settings) as means:
        servicer = EmbedServicer(means)
        yield Function(
            services={SERVICE: partial(embed_service_pb2_grpc.add_EmbedServiceServicer_to_server, servicer)},
            is_ready=_is_ready,
            collectors=means.collectors,
        )


async def _is_ready() -> bool:
    """Always once it is wired: calls that lack the model server or the database are told so one by one."""
    return True
