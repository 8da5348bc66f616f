"""`GET /v1/runs/{run_id}/trace`."""

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response

from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.openapi import errors, json_answer
from edge.run_answers import note_run
from edge.services import services_of

from .parameters import RunId, check_run_id
from .trace import trace_of
from .trace_schemas import EXAMPLE, TEXT_EXAMPLE, RunTrace
from .trace_text import trace_to_json, trace_to_text

router = APIRouter(tags=["Runs"])

_ANSWER = json_answer(RunTrace, "The trace: JSON, or with `format=text` a tree to be read.", EXAMPLE)
_ANSWER["content"]["text/plain"] = {"schema": {"type": "string"}, "example": TEXT_EXAMPLE}


@router.get(
    "/v1/runs/{run_id}/trace",
    operation_id="getRunTrace",
    summary="See what happened in a run",
    description="Every attempt, step, thought, message, tool call, result and question, inside of each other, with "
    "times and tokens. While the run goes on as well as after its end.",
    responses={200: _ANSWER, **errors(400, 404)},
    response_class=Response,
)
async def get_run_trace(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.RUNS_READ)],
    run_id: RunId,
    form: Annotated[Literal["json", "text"], Query(alias="format", description="How to tell it.")] = "json",
) -> Response:
    check_run_id(run_id)
    note_run(request, run_id)
    trace = trace_of(await services_of(request).runs.trace_events(caller.tenant, run_id))
    if form == "text":
        return Response(trace_to_text(trace), media_type="text/plain")
    return Response(orjson.dumps(trace_to_json(trace)), media_type="application/json")
