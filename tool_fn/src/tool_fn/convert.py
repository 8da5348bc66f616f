"""Between protos and what this function works with."""

import msgspec
from dormouse.tool.v1 import tool_pb2, tool_service_pb2

from tool_fn.invoker import Request, Told
from tool_fn.results import Result
from tool_fn.tool import Progress, Tool


def invoke_request(request: tool_service_pb2.InvokeRequest) -> Request:
    """A call as it was asked for. No arguments at all are an empty object."""
    arguments = request.arguments_json.strip().encode() or b"{}"
    return Request(request.name, arguments, request.idempotency_key, request.tool_call_id)


def invoke_response(told: Told) -> tool_service_pb2.InvokeResponse:
    """One message of the stream."""
    match told:
        case Progress(message, fraction):
            return tool_service_pb2.InvokeResponse(progress=tool_pb2.InvokeProgress(message=message, fraction=fraction))
        case Result():
            return tool_service_pb2.InvokeResponse(
                result=tool_pb2.InvokeResult(
                    content=told.content,
                    is_error=told.is_error,
                    is_truncated=told.is_truncated,
                    is_replay=told.is_replay,
                    duration_ms=told.duration_ms,
                    outcome_unknown=told.outcome_unknown,
                )
            )
        case _:
            return tool_service_pb2.InvokeResponse(output_chunk=told)


def tool_description(tool: Tool) -> tool_pb2.Tool:
    """A tool as callers see it."""
    return tool_pb2.Tool(
        name=tool.name,
        description=tool.description,
        input_json_schema=msgspec.json.encode(tool.input_schema).decode(),
        has_side_effects=tool.has_side_effects,
        needs_approval=tool.needs_approval,
        time_limit_ms=round(tool.time_limit_s * 1000),
        output_limit_bytes=tool.output_limit_bytes,
    )
