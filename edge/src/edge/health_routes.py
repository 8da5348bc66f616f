"""`/healthz`, `/readyz` and `/health/{component}`: for machines that watch; no key is needed."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from .errors import ApiError
from .health import Component, Report
from .openapi import json_answer, open_errors
from .services import services_of

router = APIRouter(tags=["Operations"])


class Alive(BaseModel):
    status: Literal["ok"]


class ComponentHealth(BaseModel):
    """How one part is, and what that means for users."""

    status: Literal["ok", "degraded", "unavailable"]
    detail: str


class Readiness(BaseModel):
    """Ready while requests can be answered, if need be without some of the parts."""

    status: Literal["ready", "degraded", "unavailable", "draining"]
    components: dict[str, ComponentHealth]


_READY = {"status": "ready", "components": {"agent_fn": {"status": "ok", "detail": "It answers."}}}
_NOT_READY = {"status": "unavailable", "components": {"agent_fn": {"status": "unavailable", "detail": "…"}}}
MODELS = (Alive, ComponentHealth, Readiness)


@router.get(
    "/healthz",
    operation_id="getLiveness",
    summary="Is the process alive",
    responses={200: json_answer(Alive, "It is.", {"status": "ok"}), **open_errors()},
    response_class=Response,
)
async def healthz() -> Response:
    return _json({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Can requests be answered here",
    description="`degraded` still answers 200: what is left works. 503 while agent_fn cannot be reached, and from "
    "SIGTERM on.",
    responses={
        200: json_answer(Readiness, "They can.", _READY),
        503: json_answer(Readiness, "They cannot.", _NOT_READY),
        **open_errors(),
    },
    response_class=Response,
)
async def readyz(request: Request) -> Response:
    report = await services_of(request).health.report()
    return _json({"status": report.status, "components": _components(report)}, 200 if report.ready else 503)


@router.get(
    "/health/{component}",
    operation_id="getComponentHealth",
    summary="How is one part",
    responses={
        200: json_answer(ComponentHealth, "It works, if need be with less.", {"status": "ok", "detail": "It answers."}),
        503: json_answer(ComponentHealth, "It does not work.", {"status": "unavailable", "detail": "…"}),
        **open_errors(404),
    },
    response_class=Response,
)
async def component_health(
    request: Request,
    component: Annotated[
        str,
        Path(
            description="agent_fn, embed_fn, file_store, model_server, postgres, redis or tool_fn.",
            examples=["postgres"],
        ),
    ],
) -> Response:
    found = (await services_of(request).health.report()).components.get(component)
    if found is None:
        raise ApiError(404, "There is no such component.", code="component_not_found")
    return _json(_facts(found), 503 if found.status == "unavailable" else 200)


def _components(report: Report) -> dict[str, Any]:
    return {name: _facts(component) for name, component in report.components.items()}


def _facts(component: Component) -> dict[str, str]:
    return {"status": component.status, "detail": component.detail}


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")
