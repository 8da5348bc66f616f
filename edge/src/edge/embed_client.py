"""embed_fn as the edge calls it, on behalf of a caller."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse.embed.v1.embed_pb2 import ModelUse
from dormouse.embed.v1.embed_service_pb2 import EmbedRequest, EmbedResponse
from dormouse.embed.v1.embed_service_pb2_grpc import EmbedServiceStub
from dormouse_runtime.client import Metadata, call_metadata
from dormouse_runtime.errors import DETAILS_KEY, DormouseError, from_rpc_error
from dormouse_runtime.identity import TokenIssuer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from .auth.caller import Caller
from .model_demand import ModelDemand

if TYPE_CHECKING:
    from dormouse.embed.v1.embed_service_pb2_grpc import EmbedServiceAsyncStub

FUNCTION: Final = "embed_fn"
SCOPES: Final = ("documents",)

PROBE_TIMEOUT_S: Final = 5.0
EMBED_TIMEOUT_S: Final = 300.0
"""For a request of the largest size on a slow machine."""

# The largest vectors of so many fit into one message.
_INPUTS_PER_CALL: Final = 1024

# A process that dies in mid-call shows as one of these, by chance.
_BROKEN: Final = frozenset((grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an attempt to make a document of a file has used."""

    id: str
    """The attempt's."""
    tenant: str
    user: str
    uses: Sequence[ModelUse]


class EmbedClient:
    """EmbedService with tokens of the caller's tenant and user. Nothing is repeated here: embed_fn does so itself."""

    def __init__(
        self, channel: grpc.aio.Channel | None, issuer: TokenIssuer, demand: ModelDemand | None = None
    ) -> None:
        """channel: None where there is no embed_fn; every call then fails with FUNCTION_UNAVAILABLE. demand: where what
        needs a model is counted.
        """
        self._stub = None if channel is None else EmbedServiceStub(channel)
        self._health = None if channel is None else HealthStub(channel)
        self._issuer = issuer
        self.demand = demand or ModelDemand()
        """Whoever uses `stub` for what may need a model counts it here."""
        self._answered_at = float("-inf")
        self.on_ingested: Callable[[Ingested], None] | None = None
        """Who hears what ingestions have used of models."""

    @property
    def is_configured(self) -> bool:
        """Whether there is an embed_fn at all."""
        return self._stub is not None

    @property
    def last_answer(self) -> float:
        """When embed_fn answered last, by the monotonic clock; minus infinity if never."""
        return self._answered_at

    async def probe(self) -> None:
        """Asks embed_fn how it is. Raises FUNCTION_UNAVAILABLE and its like unless it serves."""
        if self._health is None:
            return
        try:
            told = await self._health.Check(HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        if told.status != HealthCheckResponse.SERVING:
            raise DormouseError(ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The embedding function is not ready.")
        self._answered_at = time.monotonic()

    @property
    def stub(self) -> "EmbedServiceAsyncStub":
        """For calls that need more than a method here. They pass `metadata`, a timeout, and `translate` errors."""
        if self._stub is None:
            raise DormouseError(
                ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE,
                "This platform has no embeddings and no documents.",
                retryable=False,
            )
        return self._stub

    def metadata(self, caller: Caller, request_id: str = "", *, scopes: Sequence[str] = SCOPES) -> Metadata:
        """What a call in the caller's name carries."""
        token = self._issuer.mint(audience=FUNCTION, tenant=caller.tenant, user=caller.user, scopes=scopes)
        return call_metadata(token, request_id)

    async def embed(
        self, caller: Caller, inputs: Sequence[str], *, model: str = "", dimensions: int = 0, request_id: str = ""
    ) -> EmbedResponse:
        """The inputs' embeddings, in order; one that failed has its `error`. Being cancelled cancels the call.

        model: empty for the platform's. dimensions: 0 for the model's own. Errors: what embed_fn says;
        FUNCTION_UNAVAILABLE when it breaks off.
        """
        answer = EmbedResponse()
        for at in range(0, len(inputs), _INPUTS_PER_CALL):
            part = inputs[at : at + _INPUTS_PER_CALL]
            request = EmbedRequest(model=model, inputs=part, dimensions=dimensions)
            try:
                with self.demand.during():
                    told = await self.stub.Embed(
                        request, timeout=EMBED_TIMEOUT_S, metadata=self.metadata(caller, request_id)
                    )
            except grpc.aio.AioRpcError as error:
                raise translate(error) from error
            answer.MergeFrom(told)
        self._answered_at = time.monotonic()
        return answer


def translate(error: grpc.aio.AioRpcError) -> DormouseError:
    """What a failed call says; a process that died in the middle of it is FUNCTION_UNAVAILABLE."""
    is_embed_fns_own_word = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    if error.code() in _BROKEN and not is_embed_fns_own_word:
        return DormouseError(
            ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The embedding function broke off the call."
        )
    return from_rpc_error(error)
