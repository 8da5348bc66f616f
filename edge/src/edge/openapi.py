"""The OpenAPI document: FastAPI's own, with our models, error answers and event streams in it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from .deprecation import Deprecation, mark

_REF: Final = "#/components/schemas/{model}"

Responses = dict[int | str, dict[str, Any]]


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's words."""

    message: str = Field(description="A sentence for people.")
    type: str = Field(examples=["invalid_request_error"])
    param: str | None = Field(description="The field that is wrong, where it is one.")
    code: str | None = Field(examples=["model_not_found"])


class ErrorResponse(BaseModel):
    """Every answer other than a success has this shape."""

    error: ErrorDetail


def ref(model: type[BaseModel]) -> dict[str, str]:
    """A reference to a model that the document holds."""
    return {"$ref": _REF.format(model=model.__name__)}


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON body itself."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": ref(model)}}}}


def json_answer(model: type[BaseModel], description: str, example: Any) -> dict[str, Any]:
    """A successful answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": ref(model), "example": example}}}


def event_stream(description: str, event: Mapping[str, Any], example: str) -> dict[str, Any]:
    """A successful answer that is a stream of server-sent events, each as the schema `event` says."""
    return {
        "description": description,
        "headers": dict(_STREAM_HEADERS),
        "content": {"text/event-stream": {"itemSchema": event, "example": example}},
    }


def data_only(*data: Mapping[str, Any]) -> dict[str, Any]:
    """A server-sent event that has nothing but data, of one of these schemas."""
    return {"type": "object", "properties": {"data": {"anyOf": list(data)}}, "required": ["data"]}


def json_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A text that is JSON."""
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


def errors(*statuses: int) -> Responses:
    """The error answers of a route that needs a key: 401, 403, 429, 500 and 503 come by themselves."""
    return open_errors(401, 403, 503, *statuses)


def open_errors(*statuses: int) -> Responses:
    """The error answers of a route that everybody may use."""
    return {status: _error_answer(status) for status in sorted({429, 500, *statuses})}


_SAYINGS: Final[Mapping[int, tuple[str, str, str, str]]] = {
    400: ("The request is not one that can be carried out.", "Invalid value for `messages`: …", "invalid_request_error",
          "invalid_argument"),
    401: ("No API key, or none that is valid.", "The API key is not valid: …", "invalid_request_error",
          "invalid_api_key"),
    403: ("The credential does not carry the scope that stands beside this operation.",
          "This credential may not do that: the scope `runs` is missing, …", "permission_error", "insufficient_scope"),
    404: ("There is no such thing, or it belongs to somebody else.", "The model `nope` does not exist.",
          "invalid_request_error", "model_not_found"),
    409: ("The state of the thing does not allow this now.", "Run run_… is active on this thread. …", "conflict_error",
          "thread_busy"),
    413: ("The body is too long.", "The request body is longer than 8388608 bytes.", "invalid_request_error",
          "request_too_large"),
    415: ("The body has a wrong media type.", "The body must be JSON: …", "invalid_request_error",
          "unsupported_media_type"),
    416: ("The file ends before that.", "The file ends before that.", "invalid_request_error", "range_not_satisfiable"),
    429: ("A share of what may be used is used up; `retry-after` and `retry-after-ms` say for how long.",
          "Rate limit reached for this API key on requests: 10 per minute. …", "rate_limit_error",
          "rate_limit_exceeded"),
    500: ("A defect of the platform.", "Something went wrong on our side. …", "server_error", "internal_error"),
    502: ("The answer broke off.", "The answer was cut off and could not be continued.", "server_error",
          "stream_broken"),
    503: ("A part of the platform does not answer now; the same request may succeed later.",
          "The database does not answer; try again shortly.", "server_error", "database_unavailable"),
    504: ("The model, or a part of the platform, took too long.", "The model server does not answer.", "server_error",
          "model_timeout"),
}  # fmt: skip

_STREAM_HEADERS: Final[Mapping[str, Any]] = {
    "x-dormouse-run-id": {"description": "The run behind this answer.", "schema": {"type": "string"}},
    "x-dormouse-resume": {
        "description": "`off` while run logs cannot be kept: a broken stream cannot be resumed.",
        "schema": {"type": "string", "enum": ["off"]},
    },
}


_WAIT: Final[Mapping[str, Any]] = {
    "retry-after": {"description": "Seconds after which it is worth trying again.", "schema": {"type": "string"}},
    "retry-after-ms": {"description": "The same in milliseconds.", "schema": {"type": "string"}},
    "x-should-retry": {
        "description": "`false` where trying again soon does not help.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}


def _error_answer(status: int) -> dict[str, Any]:
    description, message, kind, code = _SAYINGS[status]
    example = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return {
        "description": description,
        **({"headers": dict(_WAIT)} if status in (429, 503) else {}),
        "content": {"application/json": {"schema": ref(ErrorResponse), "example": example}},
    }


def install(app: FastAPI, models: Iterable[type[BaseModel]], deprecations: Sequence[Deprecation] = ()) -> None:
    """Makes `app.openapi()` answer with the complete document; it is made when it is first asked for."""
    wanted: tuple[type[BaseModel], ...] = (ErrorDetail, ErrorResponse, *models)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _make(app, wanted)
            mark(app.openapi_schema, deprecations)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _make(app: FastAPI, models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    components = document.setdefault("components", {})
    schemas = components["schemas"] = dict(sorted(definitions["$defs"].items()))
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # FastAPI's own idea of a validation error; ours is 400
            for answer in operation["responses"].values():
                headers = answer.setdefault("headers", {})
                headers["x-request-id"] = {"$ref": "#/components/headers/RequestId"}
    components["headers"] = {
        "RequestId": {
            "description": "Names this request in logs and traces; a sane `x-request-id` of the client's is kept.",
            "schema": {"type": "string"},
        }
    }
    missing = {name for name in _references(document) if name not in schemas}
    if missing:
        raise LookupError(f"the document refers to models that no surface has listed: {', '.join(sorted(missing))}")
    return document


def _references(node: Any) -> Iterable[str]:
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str) and target.startswith("#/components/schemas/"):
            yield target.rpartition("/")[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
