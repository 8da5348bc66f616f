"""`POST /v1/chat/completions`."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.lifecycle import ClientGoneError
from edge.openapi import ErrorResponse, data_only, errors, event_stream, json_answer, json_body, json_text, ref
from edge.request_body import read_json
from edge.request_context import context_of
from edge.run_answers import run_headers, start_run, stream_run, time_of, wait_for_run
from edge.run_wishes import limits_of, tools_of
from edge.runs.model import RunSpec
from edge.services import services_of

from .answers import COMPLETION_EXAMPLE, STREAM_EXAMPLE, ChatCompletion, ChatCompletionChunk
from .chunks import ChunkEncoder
from .completion import CompletionCollector
from .conversion import client_tools_of, messages_of, options_of
from .schemas import ChatCompletionRequest

router = APIRouter(tags=["OpenAI"])

_ANSWER = json_answer(ChatCompletion, "The answer: an object, or with `stream` its chunks.", COMPLETION_EXAMPLE)
_EVENT = data_only(json_text(ref(ChatCompletionChunk)), json_text(ref(ErrorResponse)), {"const": "[DONE]"})
_STREAM = event_stream("", _EVENT, STREAM_EXAMPLE)
_ANSWER["content"] |= _STREAM["content"]
_ANSWER["headers"] = _STREAM["headers"]


@router.post(
    "/v1/chat/completions",
    operation_id="createChatCompletion",
    summary="Answer a conversation",
    description="OpenAI's Chat Completions. The messages are the whole state: nothing is stored. A run whose client "
    "goes away is cancelled. Reasoning comes as `reasoning_content`; while something takes time, comments say what. "
    "What an answer rests on comes as `annotations`.",
    responses={200: _ANSWER, **errors(400, 404, 409, 413, 415, 502, 504)},
    openapi_extra=json_body(ChatCompletionRequest),
    response_class=Response,
)
async def create_chat_completion(request: Request, caller: Annotated[Caller, Requires(Scope.RUNS)]) -> Response:
    services = services_of(request)
    body = await read_json(request, ChatCompletionRequest)
    client_tools = client_tools_of(body)
    messages = messages_of(body)
    target = await services.agents.resolve(body.model, caller.grants)
    spec = RunSpec(
        tenant=caller.tenant,
        user=caller.user,
        agent_id=target.agent_id,
        model=target.model,
        input=messages,
        options=options_of(body),
        client_tools=client_tools,
        tools=await tools_of(services, caller, target.agent_id, body.agent_tools, "agent_tools"),
        limits=limits_of(body.limits),
        may_replace=not body.stream,  # an object that nobody has seen yet can still change
        request_id=context_of(request.scope).request_id,
    )
    run_id = await start_run(request, services, caller, spec)
    completion_id, created = f"chatcmpl-{run_id.removeprefix('run_')}", time_of(request)
    if body.stream:
        encoder = ChunkEncoder(
            completion_id=completion_id,
            created=created,
            model=body.model,
            include_usage=body.stream_options is not None and bool(body.stream_options.include_usage),
            base_url=str(request.base_url),
        )
        return stream_run(services, caller, run_id, encoder, surface="chat_completions")
    collector = CompletionCollector(str(request.base_url))
    try:
        await wait_for_run(request, services, caller, run_id, collector.take)
    except ClientGoneError:
        return Response(status_code=499)
    answer = collector.completion(completion_id, created, body.model)
    return Response(orjson.dumps(answer), headers=run_headers(services, run_id), media_type="application/json")
