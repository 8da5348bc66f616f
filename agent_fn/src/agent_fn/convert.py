"""Between the protos and the domain's types; refuses requests that make no sense."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from dormouse.agent.v1 import agent_pb2, agent_service_pb2, message_pb2, run_event_pb2, safety_pb2
from dormouse_runtime.filters import Action, Rule

from agent_fn import errors, events
from agent_fn.agents.agent import Agent
from agent_fn.agents.artifacts import Artifact
from agent_fn.agents.context import RecoveredMessage, RecoveredToolCall, Recovery
from agent_fn.conversation import ImagePart, Message, Role, TextPart, ToolCall
from agent_fn.generation import GenerationOptions, ToolDefinition
from agent_fn.models.catalog import Overview
from agent_fn.runs import RunRequest, ThreadRef
from agent_fn.safety.rules import SafetyRules, TaintRule
from agent_fn.source_protos import source_from_proto, source_to_proto
from agent_fn.sources import to_stored
from agent_fn.threads.store import ThreadState

_ROLES: Final[Mapping[message_pb2.Role.ValueType, Role]] = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "tool",
}
_PROTO_ROLES: Final = {role: number for number, role in _ROLES.items()}
_MEDIA_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_IMAGE_BYTES: Final = 8 * 1024 * 1024
_STOPS: Final = 16
_ID_CHARACTERS: Final = 256
_PRUNED_THREADS: Final = 1000


def run_request(
    request: agent_service_pb2.ExecuteRequest, tenant: str, tools_token: str = "", documents_token: str = ""
) -> RunRequest:
    """The tokens: see RunRequest. Raises DormouseError(INVALID_ARGUMENT)."""
    _require_id(request.run_id, "run_id")
    thread = None
    if request.HasField("thread"):
        thread = _thread(tenant, request.thread.thread_id, request.thread.checkpoint_id, empty=request.thread.empty)
    elif not request.input:
        raise errors.invalid_argument("A run without a thread needs at least one message.")
    return RunRequest(
        run_id=request.run_id,
        agent_id=request.agent_id,
        model=request.model,
        # An id made here is the same in every attempt, so that a second one adds no message twice.
        input=[_message(message, f"{request.run_id}.i{index}") for index, message in enumerate(request.input)],
        thread=thread,
        options=_options(request.options),
        client_tools=[_tool(tool) for tool in request.client_tools],
        attempt=max(request.recovery.attempt, 1),
        recovery=_recovery(request.recovery),
        budget_s=request.budget_ms / 1000 if request.budget_ms else None,
        selection=frozenset(request.tools.names) if request.HasField("tools") else None,
        limits=(request.limits.iterations, request.limits.tool_calls, request.limits.tokens),
        artifacts=[_artifact(artifact) for artifact in request.artifacts],
        # Of two answers to one question the later one counts.
        answers={answer.interrupt_id: _answer(answer) for answer in request.answers},
        can_interrupt=request.can_interrupt,
        safety=_safety(request.safety),
        tenant=tenant,
        tools_token=tools_token,
        documents_token=documents_token,
    )


_TAINT_RULES: Final = {
    safety_pb2.TAINT_RULE_UNSPECIFIED: TaintRule.GUARDED,
    safety_pb2.TAINT_RULE_OPEN: TaintRule.OPEN,
    safety_pb2.TAINT_RULE_GUARDED: TaintRule.GUARDED,
    safety_pb2.TAINT_RULE_STRICT: TaintRule.STRICT,
}
_ACTIONS: Final = {
    safety_pb2.FILTER_ACTION_FLAG: Action.FLAG,
    safety_pb2.FILTER_ACTION_MASK: Action.MASK,
    safety_pb2.FILTER_ACTION_BLOCK: Action.BLOCK,
}
_PROTO_ACTIONS: Final = {action: number for number, action in _ACTIONS.items()}


def _safety(safety: safety_pb2.Safety) -> SafetyRules:
    """What this function does not know of is taken for the strictest that it knows."""
    return SafetyRules(
        mark=safety.mark,
        tainted=_TAINT_RULES.get(safety.tainted, TaintRule.STRICT),
        trusted_hosts=(*safety.trusted_hosts, *safety.hosts.patterns),
        output=tuple(
            Rule(rule.name, _ACTIONS.get(rule.action, Action.BLOCK), tuple(rule.patterns)) for rule in safety.output
        ),
        leak=None if safety.leak == safety_pb2.FILTER_ACTION_UNSPECIFIED else _ACTIONS.get(safety.leak, Action.BLOCK),
        canary=safety.canary,
        log_content=safety.log_content,
    )


def _thread(tenant: str, thread_id: str, checkpoint_id: str = "", *, empty: bool = False) -> ThreadRef:
    _require_id(thread_id, "thread_id")
    if checkpoint_id:
        _require_id(checkpoint_id, "checkpoint_id")
    if ":" in tenant:
        raise errors.invalid_argument("A tenant's id holds no colon.")  # it ends the tenant in the threads' keys
    return ThreadRef(tenant, thread_id, checkpoint_id, empty)


def _require_id(text: str, name: str) -> None:
    if not 0 < len(text) <= _ID_CHARACTERS or not text.isprintable():
        raise errors.invalid_argument(f"{name} wants 1 to {_ID_CHARACTERS} printable characters.")


def _message(message: message_pb2.Message, default_id: str) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise errors.invalid_argument("A message has no role.")
    converted = Message(id=message.id or default_id, role=role, content=[_part(part) for part in message.content])
    if message.tool_calls:
        converted["tool_calls"] = [
            ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json) for call in message.tool_calls
        ]
    if role == "tool":
        if not message.tool_call_id:
            raise errors.invalid_argument("A tool message has no tool_call_id.")
        converted["tool_call_id"] = message.tool_call_id
    if message.name:
        converted["name"] = message.name
    if message.reasoning:
        converted["reasoning"] = message.reasoning
    if message.sources:
        converted["sources"] = to_stored([source_from_proto(source) for source in message.sources])
    return converted


def _part(part: message_pb2.ContentPart) -> TextPart | ImagePart:
    match part.WhichOneof("part"):
        case "text":
            return TextPart(text=part.text)
        case "image":
            if part.image.media_type not in _MEDIA_TYPES:
                raise errors.invalid_argument("An image is none of PNG, JPEG and WebP.")
            if not 0 < len(part.image.data) <= _IMAGE_BYTES:
                raise errors.invalid_argument("An image is empty or larger than 8 MiB.")
            return ImagePart(media_type=part.image.media_type, data=part.image.data)
    raise errors.invalid_argument("A part of a message is neither text nor image.")


def _options(options: agent_pb2.GenerationOptions) -> GenerationOptions:
    if len(options.stop) > _STOPS:
        raise errors.invalid_argument(f"There are more than {_STOPS} stop sequences.")

    def chosen(name: str) -> Any:
        return getattr(options, name) if options.HasField(name) else None  # type: ignore[arg-type]

    if chosen("max_tokens") == 0:
        raise errors.invalid_argument("max_tokens wants at least 1.")
    schema = chosen("response_json_schema")
    if schema is not None and schema != "json":
        _require_object(schema, "response_json_schema")
    return GenerationOptions(
        temperature=chosen("temperature"),
        top_p=chosen("top_p"),
        top_k=chosen("top_k"),
        max_tokens=chosen("max_tokens"),
        stop=tuple(options.stop),
        seed=chosen("seed"),
        response_json_schema=schema,
        reasoning=chosen("reasoning"),
        frequency_penalty=chosen("frequency_penalty"),
        presence_penalty=chosen("presence_penalty"),
    )


def _tool(tool: message_pb2.ClientTool) -> ToolDefinition:
    if not tool.name:
        raise errors.invalid_argument("A tool has no name.")
    if tool.parameters_json_schema:
        _require_object(tool.parameters_json_schema, f"The schema of the tool {tool.name!r}")
    return ToolDefinition(tool.name, tool.description, tool.parameters_json_schema)


def _artifact(artifact: agent_pb2.Artifact) -> Artifact:
    if not artifact.id or not artifact.version:
        raise errors.invalid_argument("An artifact has no id or no version.")
    return Artifact(artifact.id, artifact.version, artifact.title, artifact.media_type, artifact.content)


def _answer(answer: run_event_pb2.InterruptAnswer) -> Any:
    try:
        return orjson.loads(answer.response_json)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_argument(f"The answer to {answer.interrupt_id!r} is not JSON.") from error


def _require_object(text: str, what: str) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise errors.invalid_argument(f"{what} is not JSON.") from error
    if not isinstance(value, dict):
        raise errors.invalid_argument(f"{what} is not a JSON object.")


def _recovery(recovery: agent_pb2.Recovery) -> Recovery:
    return Recovery(
        messages={
            message.message_id: RecoveredMessage(
                text=message.text,
                reasoning=message.reasoning,
                pieces=message.pieces,
                reasoning_pieces=message.reasoning_pieces,
                finished=message.finished,
            )
            for message in recovery.messages
        },
        tool_calls=[
            RecoveredToolCall(
                call=ToolCall(id=result.tool_call_id, name=result.name, arguments_json=result.arguments_json),
                # Without a text nobody knows more than that the call was asked for.
                result=None if result.outcome_unknown and not result.content else result.content,
                is_error=result.is_error,
                outcome_unknown=result.outcome_unknown,
                sources=tuple(map(source_from_proto, result.sources)),
            )
            for result in recovery.tool_results
        ],
        may_replace=recovery.may_replace,
        state_json=recovery.state_json,
        state_patches_json=list(recovery.state_patches_json),
        tokens=recovery.tokens,
    )


def list_agents_response(agents: Mapping[str, Agent], overview: Overview) -> agent_service_pb2.ListAgentsResponse:
    """Agents by id, models by name."""
    return agent_service_pb2.ListAgentsResponse(
        agents=[
            agent_pb2.Agent(
                id=agent.id,
                description=agent.description,
                tools=agent.tools,
                capabilities=agent.capabilities,
                any_tools=agent.any_tools,
            )
            for _, agent in sorted(agents.items())
        ],
        models=[
            agent_pb2.Model(
                name=model.name,
                capabilities=sorted(model.capabilities),
                context_length=model.context_length,
                size_bytes=model.size_bytes,
                modified_unix_ms=model.modified_unix_ms,
            )
            for model in overview.models
        ],
        model_server_reachable=overview.reachable,
        default_model=overview.default_model,
    )


def message_to_proto(message: Message) -> message_pb2.Message:
    """A message of a thread."""
    proto = message_pb2.Message(
        id=message["id"],
        role=_PROTO_ROLES[message["role"]],
        tool_call_id=message.get("tool_call_id", ""),
        name=message.get("name", ""),
        reasoning=message.get("reasoning", ""),
        tool_calls=[message_pb2.ToolCall(**call) for call in message.get("tool_calls", ())],
    )
    for part in message["content"]:
        if "text" in part:
            proto.content.add().text = part["text"]
        else:
            proto.content.add().image.MergeFrom(message_pb2.Image(**part))
    return proto


def execute_response(happened: Sequence[events.Event]) -> agent_service_pb2.ExecuteResponse:
    """What goes out in one write."""
    response = agent_service_pb2.ExecuteResponse()
    add = response.events.add
    for event in happened:
        _FILL[type(event)](add(), event)
    return response


def thread_state_request(request: agent_service_pb2.GetThreadStateRequest, tenant: str) -> ThreadRef:
    """Raises DormouseError(INVALID_ARGUMENT)."""
    return _thread(tenant, request.thread_id, request.checkpoint_id)


def thread_state_response(state: ThreadState) -> agent_service_pb2.GetThreadStateResponse:
    """A thread as of a checkpoint."""
    return agent_service_pb2.GetThreadStateResponse(
        checkpoint_id=state.checkpoint_id,
        messages=[message_to_proto(message) for message in state.messages],
        values_json=orjson.dumps(state.values).decode(),
    )


def prune_request(request: agent_service_pb2.PruneThreadsRequest, tenant: str) -> tuple[Sequence[ThreadRef], bool]:
    """The threads, and whether nothing of them is to stay. Raises DormouseError(INVALID_ARGUMENT)."""
    if request.mode not in (agent_service_pb2.PRUNE_MODE_KEEP_LATEST, agent_service_pb2.PRUNE_MODE_DELETE):
        raise errors.invalid_argument("There is no mode.")
    if len(request.thread_ids) > _PRUNED_THREADS:
        raise errors.invalid_argument(f"There are more than {_PRUNED_THREADS} threads.")
    refs = [_thread(tenant, thread_id) for thread_id in request.thread_ids]
    return refs, request.mode == agent_service_pb2.PRUNE_MODE_DELETE


def _delta(proto: run_event_pb2.MessageDelta | run_event_pb2.ReasoningDelta, event: events.Delta) -> None:
    proto.message_id = event.message_id
    proto.text = event.text
    proto.pieces = event.pieces


def _same_fields(field: str) -> Callable[[run_event_pb2.RunEvent, Any], None]:
    """For events whose proto has the very fields of the dataclass."""

    def fill(proto: run_event_pb2.RunEvent, event: Any) -> None:
        target = getattr(proto, field)
        target.SetInParent()
        for name in event.__slots__:
            setattr(target, name, getattr(event, name))

    return fill


_FINISH_REASONS: Final = {
    events.FinishReason.STOP: run_event_pb2.FINISH_REASON_STOP,
    events.FinishReason.LENGTH: run_event_pb2.FINISH_REASON_LENGTH,
    events.FinishReason.TOOL_CALLS: run_event_pb2.FINISH_REASON_TOOL_CALLS,
}
_ACTIVITIES: Final = {
    events.ActivityKind.LOADING_MODEL: run_event_pb2.ACTIVITY_KIND_LOADING_MODEL,
    events.ActivityKind.PROCESSING_PROMPT: run_event_pb2.ACTIVITY_KIND_PROCESSING_PROMPT,
    events.ActivityKind.RUNNING_TOOL: run_event_pb2.ACTIVITY_KIND_RUNNING_TOOL,
}


def _run_finished(proto: run_event_pb2.RunEvent, event: events.RunFinished) -> None:
    proto.run_finished.finish_reason = _FINISH_REASONS[event.finish_reason]


def _run_interrupted(proto: run_event_pb2.RunEvent, event: events.RunInterrupted) -> None:
    for interrupt in event.interrupts:
        target = proto.run_interrupted.interrupts.add()
        for name in interrupt.__slots__:
            setattr(target, name, getattr(interrupt, name))


def _tool_result(proto: run_event_pb2.RunEvent, event: events.ToolResult) -> None:
    result = proto.tool_result
    result.tool_call_id = event.tool_call_id
    result.content = event.content
    result.is_error = event.is_error
    result.outcome_unknown = event.outcome_unknown
    result.duration_ms = event.duration_ms
    result.sources.extend(map(source_to_proto, event.sources))


def _citation(proto: run_event_pb2.RunEvent, event: events.Citation) -> None:
    proto.citation.message_id = event.message_id
    proto.citation.start = event.start
    proto.citation.end = event.end
    if event.source is not None:
        proto.citation.source.CopyFrom(source_to_proto(event.source))


def _filter_matched(proto: run_event_pb2.RunEvent, event: events.FilterMatched) -> None:
    matched = proto.filter_matched
    matched.name = event.name
    matched.action = _PROTO_ACTIONS[event.action]
    matched.kind = event.kind
    matched.place = event.place


def _activity(proto: run_event_pb2.RunEvent, event: events.Activity) -> None:
    proto.activity.kind = _ACTIVITIES[event.kind]
    proto.activity.subject = event.subject
    proto.activity.message = event.message


_FILL: Final[Mapping[type[events.Event], Callable[[run_event_pb2.RunEvent, Any], None]]] = {
    events.TextDelta: lambda proto, event: _delta(proto.message_delta, event),
    events.ReasoningDelta: lambda proto, event: _delta(proto.reasoning_delta, event),
    events.StepStarted: _same_fields("step_started"),
    events.StepFinished: _same_fields("step_finished"),
    events.MessageStarted: _same_fields("message_started"),
    events.MessageReplaced: _same_fields("message_replaced"),
    events.MessageFinished: _same_fields("message_finished"),
    events.ToolCallStarted: _same_fields("tool_call_started"),
    events.ToolCallArgs: _same_fields("tool_call_args"),
    events.ToolCallFinished: _same_fields("tool_call_finished"),
    events.ToolResult: _tool_result,
    events.Citation: _citation,
    events.StateSnapshot: _same_fields("state_snapshot"),
    events.StateDelta: _same_fields("state_delta"),
    events.ArtifactDelta: _same_fields("artifact_delta"),
    events.ArtifactSaved: _same_fields("artifact_saved"),
    events.UsageReported: _same_fields("usage_reported"),
    events.CheckpointSaved: _same_fields("checkpoint_saved"),
    events.Handoff: _same_fields("handoff"),
    events.RunFinished: _run_finished,
    events.RunInterrupted: _run_interrupted,
    events.Activity: _activity,
    events.FilterMatched: _filter_matched,
}
