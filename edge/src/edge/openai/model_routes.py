"""`GET /v1/models`: everything that can be named as `model`."""

from typing import Annotated, Any

import orjson
from dormouse.agent.v1.agent_pb2 import Model
from dormouse.common.v1.error_pb2 import ErrorReason
from fastapi import APIRouter, Path, Request, Response

from edge.agents import Catalogue
from edge.auth.bearer import Requires
from edge.auth.caller import Caller, Scope
from edge.errors import ApiError
from edge.openapi import errors, json_answer
from edge.services import services_of

from .answers import MODEL_EXAMPLE, MODEL_LIST_EXAMPLE, ModelList, ModelObject

router = APIRouter(tags=["OpenAI"])


@router.get(
    "/v1/models",
    operation_id="listModels",
    summary="List agents and models",
    description="Agents first, then what the model server holds, each by name.",
    responses={200: json_answer(ModelList, "Agents and models.", MODEL_LIST_EXAMPLE), **errors(504)},
    response_class=Response,
)
async def list_models(request: Request, caller: Annotated[Caller, Requires(Scope.MODELS_READ)]) -> Response:
    catalogue = (await services_of(request).agents.catalogue()).granted(caller.grants)
    return _json({"object": "list", "data": _objects(catalogue)})


@router.get(
    # Names of models hold slashes: hf.co/org/model:Q4_K_M.
    "/v1/models/{model:path}",
    operation_id="getModel",
    summary="Look up an agent or a model",
    responses={200: json_answer(ModelObject, "The agent or model.", MODEL_EXAMPLE), **errors(404, 504)},
    response_class=Response,
)
async def get_model(
    request: Request,
    caller: Annotated[Caller, Requires(Scope.MODELS_READ)],
    model: Annotated[str, Path(description="Its name.", examples=["chat"])],
) -> Response:
    catalogue = (await services_of(request).agents.catalogue()).granted(caller.grants)
    full = model if catalogue.has_agent(model) else catalogue.find_model(model)
    found = next((item for item in _objects(catalogue) if item["id"] == full), None)
    if found is None:
        reason = ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
        raise ApiError.of(reason, f"The model `{model[:100]}` does not exist.", "model")
    return _json(found)


def _objects(catalogue: Catalogue) -> list[dict[str, Any]]:
    agents = [
        {"id": agent.id, "object": "model", "created": catalogue.read_at, "owned_by": "dormouse"}
        for agent in catalogue.agents
    ]
    return agents + [_model_object(model) for model in catalogue.models]


def _model_object(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.modified_unix_ms // 1000,
        "owned_by": "ollama",
    }


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
