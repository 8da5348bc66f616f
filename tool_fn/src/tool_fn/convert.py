"""Between protos and what this function works with."""

import msgspec
from dormouse.common.v1 import source_pb2
from dormouse.tool.v1 import tool_pb2, tool_service_pb2

from tool_fn.invoker import Request, Told
from tool_fn.results import Result
from tool_fn.sources import Source
from tool_fn.tool import Progress, Tool


def invoke_request(request: tool_service_pb2.InvokeRequest, documents_token: str = "") -> Request:
    """A call as it was asked for. No arguments at all are an empty object."""
    arguments = request.arguments_json.strip().encode() or b"{}"
    return Request(request.name, arguments, request.idempotency_key, request.tool_call_id, documents_token)


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
                    sources=map(_source, told.sources),
                )
            )
        case _:
            return tool_service_pb2.InvokeResponse(output_chunk=told)


def _source(source: Source) -> source_pb2.Source:
    return source_pb2.Source(
        label=source.label,
        document_id=source.document_id,
        document_name=source.document_name,
        chunk_id=source.chunk_id,
        start_offset=source.start_offset,
        end_offset=source.end_offset,
        first_page=source.first_page,
        text=source.text,
    )


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
        quotes_strangers=tool.quotes_strangers,
        reaches_out=tool.reaches_out,
        approval_waived=tool.approval_waived,
    )
