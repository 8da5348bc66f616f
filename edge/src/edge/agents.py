"""What agent_fn knows: its agents, the model server's models, and the state of threads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import grpc
from dormouse.agent.v1.agent_pb2 import Agent, Model
from dormouse.agent.v1.agent_service_pb2 import (
    PRUNE_MODE_DELETE,
    GetThreadStateRequest,
    GetThreadStateResponse,
    ListAgentsRequest,
    PruneThreadsRequest,
)
from dormouse.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.client import call_metadata
from dormouse_runtime.errors import DormouseError, from_rpc_error
from dormouse_runtime.identity import TokenIssuer

from .auth.caller import EVERYTHING, Caller, Grants

_log = logging.getLogger(__name__)

FUNCTION: Final = "agent_fn"
CHAT_AGENT: Final = "chat"
"""The agent that chats plainly with whatever model it is given."""

FRESH_S: Final = 10.0
"""So long a catalogue is served without asking again."""

MISS_FRESH_S: Final = 1.0
"""A name that is not in a catalogue older than this is looked for in a new one: models are pulled at any time."""

REPEAT_AFTER_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)
"""Before each repetition of a question about a thread: a function that is gone is back within seconds."""

LIST_TIMEOUT_S: Final = 10.0
STATE_TIMEOUT_S: Final = 10.0
SYSTEM: Final = "_system"
"""The tenant of calls that concern nobody's data."""

_GONE: Final = frozenset((ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, ErrorReason.ERROR_REASON_SHUTTING_DOWN))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """What runs when a client names `model`."""

    agent_id: str
    model: str
    """Empty: the agent's default."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that can be named as `model`, as of one moment."""

    agents: tuple[Agent, ...]
    models: tuple[Model, ...]
    default_model: str
    model_server_reachable: bool
    read_at: int
    """Unix seconds."""

    def find(self, name: str) -> Target | None:
        """The agent of that name, else the model; Ollama's `:latest` may be left out."""
        if self.has_agent(name):
            return Target(name, "")
        model = self.find_model(name) if self.has_agent(CHAT_AGENT) else None
        return None if model is None else Target(CHAT_AGENT, model)

    def find_model(self, name: str) -> str | None:
        """The full name of a model."""
        names = {model.name for model in self.models}
        return next((full for full in (name, f"{name}:latest") if full in names), None)

    def agent(self, agent_id: str) -> Agent | None:
        """The agent with this id."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)

    def has_agent(self, agent_id: str) -> bool:
        """Whether there is such an agent."""
        return self.agent(agent_id) is not None

    def granted(self, grants: Grants) -> "Catalogue":
        """As somebody with these grants sees it: what is not granted is not there."""
        if grants.agents is None and grants.models is None:
            return self
        models = tuple(model for model in self.models if grants.has_model(model.name))
        names = {model.name for model in models}
        return replace(
            self,
            agents=tuple(agent for agent in self.agents if grants.agents is None or agent.id in grants.agents),
            models=models,
            default_model=self.default_model if self.default_model in names else "",
        )

    @property
    def chat_models(self) -> list[str]:
        """The models that an agent can use: all that write, which is said of them, or nothing is."""
        return [model.name for model in self.models if not model.capabilities or "completion" in model.capabilities]


class AgentDirectory:
    """agent_fn's unary calls. The catalogue is kept and, where the function does not answer, served stale."""

    def __init__(self, channel: grpc.aio.Channel, issuer: TokenIssuer, *, models_sleep: bool = False) -> None:
        """models_sleep: a model server that is not there may be woken, and nobody knows yet what it holds."""
        self._models_sleep = models_sleep
        self._stub = AgentServiceStub(channel)
        self._issuer = issuer
        self._catalogue: Catalogue | None = None
        self._read_at = float("-inf")
        self._reading: asyncio.Task[Catalogue] | None = None

    @property
    def last_answer(self) -> float:
        """When agent_fn answered last, by the monotonic clock; minus infinity if never."""
        return self._read_at

    @property
    def known(self) -> Catalogue | None:
        """The last catalogue, however old: nobody is asked, and no function woken."""
        return self._catalogue

    async def catalogue(self) -> Catalogue:
        """The agents and models. Never waits when an older catalogue is at hand; it is then read anew behind it.

        Raises FUNCTION_UNAVAILABLE and its like when there is none yet.
        """
        if self._catalogue is None:
            return await self.refresh()
        if time.monotonic() - self._read_at > FRESH_S:
            self._read()
        return self._catalogue

    async def resolve(self, name: str, grants: Grants = EVERYTHING) -> Target:
        """What a client's `model` stands for. Raises MODEL_NOT_FOUND, also for what is not granted, and what
        `catalogue` raises.
        """
        target = (await self.catalogue()).granted(grants).find(name)
        if target is None:
            catalogue = await self._newer_catalogue()
            target = catalogue.granted(grants).find(name)
            if target is None and catalogue.has_agent(CHAT_AGENT) and self._may_hold(catalogue, name, grants):
                target = Target(CHAT_AGENT, name)
        if target is None:
            raise _not_found(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, "model", name)
        return target

    async def resolve_agent(self, agent_id: str, model: str, grants: Grants = EVERYTHING) -> Target:
        """An agent and, where one is named, a model for it. Raises AGENT_NOT_FOUND, MODEL_NOT_FOUND, also for what is
        not granted.
        """
        catalogue = (await self.catalogue()).granted(grants)
        full = catalogue.find_model(model) if model else ""
        if not catalogue.has_agent(agent_id) or full is None:
            whole = await self._newer_catalogue()
            catalogue = whole.granted(grants)
            full = catalogue.find_model(model) if model else ""
            if full is None and self._may_hold(whole, model, grants):
                full = model
        if not catalogue.has_agent(agent_id):
            raise _not_found(ErrorReason.ERROR_REASON_AGENT_NOT_FOUND, "agent", agent_id)
        if full is None:
            raise _not_found(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, "model", model)
        return Target(agent_id, full)

    async def refresh(self) -> Catalogue:
        """Asks agent_fn now; callers that come together share the question."""
        return await asyncio.shield(self._read())

    async def thread_state(self, caller: Caller, thread_id: str, request_id: str) -> GetThreadStateResponse:
        """A thread's messages and values as of its latest checkpoint; THREAD_NOT_FOUND when it has none."""
        state: GetThreadStateResponse = await _persistently(
            lambda: self._stub.GetThreadState(
                GetThreadStateRequest(thread_id=thread_id),
                timeout=STATE_TIMEOUT_S,
                metadata=self._metadata(caller.tenant, caller.user, request_id),
            )
        )
        return state

    async def delete_thread(self, caller: Caller, thread_id: str, request_id: str) -> None:
        """Drops every checkpoint of a thread. Idempotent."""
        await _persistently(
            lambda: self._stub.PruneThreads(
                PruneThreadsRequest(thread_ids=[thread_id], mode=PRUNE_MODE_DELETE),
                timeout=STATE_TIMEOUT_S,
                metadata=self._metadata(caller.tenant, caller.user, request_id),
            )
        )

    async def close(self) -> None:
        """Ends a question that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _may_hold(self, catalogue: Catalogue, model: str, grants: Grants) -> bool:
        """Whether a model that is not known may be there once the model server has woken; agent_fn then knows it."""
        is_unknown = not catalogue.model_server_reachable and not catalogue.models
        return self._models_sleep and is_unknown and grants.has_model(model)

    async def _newer_catalogue(self) -> Catalogue:
        if self._catalogue is not None and time.monotonic() - self._read_at < MISS_FRESH_S:
            return self._catalogue
        try:
            return await self.refresh()
        except DormouseError:
            if self._catalogue is None:
                raise
            return self._catalogue

    def _read(self) -> asyncio.Task[Catalogue]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._list())
            self._reading.add_done_callback(_note_failure)
        return self._reading

    async def _list(self) -> Catalogue:
        try:
            answer = await self._stub.ListAgents(
                ListAgentsRequest(), timeout=LIST_TIMEOUT_S, metadata=self._metadata(SYSTEM, "edge", "")
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        models = tuple(answer.models)
        if not answer.model_server_reachable and self._catalogue is not None:
            models = self._catalogue.models  # still the best guess at what it will serve when it is back
        self._read_at = time.monotonic()
        self._catalogue = Catalogue(
            tuple(answer.agents), models, answer.default_model, answer.model_server_reachable, int(time.time())
        )
        return self._catalogue

    def _metadata(self, tenant: str, user: str, request_id: str) -> tuple[tuple[str, str], ...]:
        return call_metadata(self._issuer.mint(audience=FUNCTION, tenant=tenant, user=user), request_id)


async def _persistently(call: Callable[[], Awaitable[T]]) -> T:
    """The answer to an idempotent call, which is repeated for some seconds while the function is gone."""
    delays_s = iter(REPEAT_AFTER_S)
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            delay_s = next(delays_s, None)
            if delay_s is None or failure.reason not in _GONE:
                raise failure from error
        await asyncio.sleep(delay_s)


def _note_failure(task: "asyncio.Task[Catalogue]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("agent_fn does not tell its agents", extra={"cause": repr(error)})


def _not_found(reason: int, kind: str, name: str) -> DormouseError:
    # Names of models and agents are no secrets, and OpenAI's message holds them too.
    return DormouseError(reason, f"The {kind} `{name[:100]}` does not exist.", details={"param": kind})
