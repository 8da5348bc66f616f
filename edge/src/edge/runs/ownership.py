"""Who owns a run, and what stays the same for as long as they do."""

from dataclasses import dataclass
from datetime import UTC, datetime

from dormouse.agent.v1.agent_pb2 import RunLimits, ThreadRef, ToolSelection
from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.message_pb2 import Message

from edge.ids import new_run_id

from .model import Limits, OnDisconnect, RunSpec
from .prompt_size import prompt_tokens_of


@dataclass(frozen=True, slots=True)
class Ownership:
    """What stays the same while one replica owns a run; another replica takes over with the next epoch."""

    run_id: str
    tenant: str
    user: str
    epoch: int
    request: ExecuteRequest
    """The first attempt's request; its agent, model and thread name what runs."""
    on_disconnect: OnDisconnect
    may_replace: bool
    stored: bool
    request_id: str
    created_at: datetime
    key_id: str = ""
    prompt_estimate: int = 0
    """Tokens of the input, for a run that is cut off before its model server has counted them."""

    @property
    def thread_id(self) -> str | None:
        """The thread, where the run has one."""
        return self.request.thread.thread_id or None


def begin_ownership(spec: RunSpec) -> Ownership:
    """A new run of this replica: gives it an id, and its messages ids that are the same in every attempt."""
    run_id, stored = spec.run_id or new_run_id(), spec.stored or spec.thread_id is not None
    request = ExecuteRequest(
        run_id=run_id,
        agent_id=spec.agent_id,
        model=spec.model,
        input=[_with_id(message, run_id, index) for index, message in enumerate(spec.input)],
        thread=_thread_ref(spec),
        options=spec.options,
        client_tools=spec.client_tools,
        tools=None if spec.tools is None else ToolSelection(names=spec.tools),
        limits=_limits(spec.limits),
        can_interrupt=spec.can_interrupt and stored,
        safety=spec.safety,
    )
    return Ownership(
        run_id=run_id,
        tenant=spec.tenant,
        user=spec.user,
        epoch=1,
        request=request,
        on_disconnect=spec.on_disconnect,
        may_replace=spec.may_replace,
        stored=stored,
        request_id=spec.request_id,
        created_at=datetime.now(UTC),
        key_id=spec.key_id,
        prompt_estimate=prompt_tokens_of(spec.input),
    )


def _limits(limits: Limits | None) -> RunLimits | None:
    if limits is None:
        return None
    return RunLimits(iterations=limits.iterations, tool_calls=limits.tool_calls, tokens=limits.tokens)


def _thread_ref(spec: RunSpec) -> ThreadRef | None:
    if spec.thread_id is None:
        return None
    return ThreadRef(thread_id=spec.thread_id, empty=True) if spec.from_empty else ThreadRef(thread_id=spec.thread_id)


def _with_id(message: Message, run_id: str, index: int) -> Message:
    """The message, with an id that is the same in every attempt where the client gave none."""
    if message.id:
        return message
    named = Message()
    named.CopyFrom(message)
    named.id = f"{run_id}-in{index}"
    return named
