"""The application: routes, middleware and error answers in one place."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from dormouse_runtime.errors import DormouseError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from . import docs_page, health_routes, openapi
from .agui import routes as agui_routes
from .agui.schemas import RunAgentInput
from .api_keys import routes as key_routes
from .api_keys import schemas as key_schemas
from .audit import routes as audit_routes
from .audit import schemas as audit_schemas
from .deprecation import DEPRECATIONS, Deprecation, DeprecationMiddleware
from .errors import ApiError, invalid_argument
from .files import routes as file_routes
from .files import schemas as file_schemas
from .idempotency.claims import ReplayedAnswer
from .idempotency.middleware import IdempotencyMiddleware
from .identity import schemas as identity_schemas
from .identity import session_routes, user_routes
from .lifecycle import Lifecycle
from .mcp import routes as mcp_routes
from .middleware.address_limit import AddressLimitMiddleware
from .middleware.body_limit import BodyLimitMiddleware
from .middleware.client_address import ClientAddressMiddleware
from .middleware.cors import CorsMiddleware
from .middleware.observe import ObserveMiddleware
from .middleware.security_headers import SecurityHeaders
from .native import (
    agent_routes,
    artifact_routes,
    artifact_schemas,
    run_routes,
    thread_routes,
    tool_routes,
    trace_routes,
    trace_schemas,
)
from .native import schemas as native
from .openai import answers, chat_routes, embeddings_routes, embeddings_schemas, model_routes, schemas
from .search import reindexing
from .search import routes as search_routes
from .search import schemas as search_schemas
from .services import open_services
from .settings import Settings
from .spending import budget_routes, usage_routes
from .spending import schemas as spending_schemas

DESCRIPTION = """\
AI agents on your own GPUs, behind the protocols that clients already speak: OpenAI's Chat Completions, AG-UI 1.0, and \
a native API for threads, runs that can be left, resumed and answered, and what agents write. The agents' tools are \
also there for clients of MCP, at `/mcp`.

Every answer carries `x-request-id`; every error has OpenAI's shape.

A `POST` can carry an `Idempotency-Key`, 1 to 255 visible ASCII characters such as a UUID. Sent again by the same \
caller within 24 hours, the same request gets the answer of the first, with `idempotent-replayed: true`, and nothing \
is done twice; another request with that key gets 422.
"""

_SURFACES = (
    chat_routes,
    embeddings_routes,
    model_routes,
    agui_routes,
    agent_routes,
    tool_routes,
    thread_routes,
    run_routes,
    trace_routes,
    artifact_routes,
    file_routes,
    search_routes,
    reindexing,
    session_routes,
    user_routes,
    key_routes,
    audit_routes,
    usage_routes,
    budget_routes,
    mcp_routes,
    health_routes,
)
_MODELS = (
    schemas.ChatCompletionRequest,
    answers.ChatCompletion,
    answers.ChatCompletionChunk,
    answers.ModelList,
    embeddings_schemas.EmbeddingsRequest,
    embeddings_schemas.EmbeddingList,
    RunAgentInput,
    *native.MODELS,
    *trace_schemas.MODELS,
    *artifact_schemas.MODELS,
    *file_schemas.MODELS,
    *search_schemas.MODELS,
    *reindexing.MODELS,
    *identity_schemas.MODELS,
    *key_schemas.MODELS,
    *audit_schemas.MODELS,
    *spending_schemas.MODELS,
    *health_routes.MODELS,
)


def create_app(
    settings: Settings, lifecycle: Lifecycle | None = None, deprecations: Sequence[Deprecation] = DEPRECATIONS
) -> FastAPI:
    """The ASGI application. Connections open with its lifespan; `app.state.services` then holds them."""
    shared = lifecycle or Lifecycle()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, shared) as services:
            app.state.services = services
            yield

    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="Dormouse",
        version=version("dormouse-edge"),
        summary="An OpenAI-compatible agent platform that costs nothing while nobody talks to it",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        exception_handlers=_HANDLERS,
        # Spans are made by our own middleware, which knows the run.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for surface in _SURFACES:
        app.include_router(surface.router)
    openapi.install(app, _MODELS, deprecations)
    # No browser that holds a key loads code from elsewhere.
    docs_page.install(app)
    limits = {("POST", file_routes.PATH): settings.max_file_bytes + file_routes.FORM_BYTES}
    app.add_middleware(IdempotencyMiddleware)  # added first: the innermost
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body_bytes, limits=limits)
    if settings.ip_requests_per_minute:
        app.add_middleware(AddressLimitMiddleware, trusted=settings.trusted_proxies)
    app.add_middleware(DeprecationMiddleware, deprecations=deprecations)
    app.add_middleware(
        CorsMiddleware,
        origins=settings.cors_origins,
        credentials=settings.cors_credentials,
        elsewhere={mcp_routes.PATH: settings.mcp_origins},
    )
    if settings.audit_addresses:
        app.add_middleware(ClientAddressMiddleware, trusted=settings.trusted_proxies)
    security = SecurityHeaders(settings.trusted_proxies, settings.hsts_s)
    app.add_middleware(ObserveMiddleware, security=security)  # added last: the outermost
    return app


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _replayed_answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, ReplayedAnswer)
    return error.response


async def _dormouse_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DormouseError)
    return ApiError.from_dormouse(error).response()


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        message, code = f"There is no {request.method} {request.url.path[:200]}.", "unknown_url"
    elif error.status_code == 405:
        message, code = f"{request.method} is not allowed here.", "method_not_allowed"
        headers = {"allow": _allowed_methods(request) or (error.headers or {}).get("allow", "GET")}
        return ApiError(405, message, code=code, headers=headers).response()
    else:
        message, code = "The request could not be handled.", "http_error"
    return ApiError(error.status_code, message, code=code, headers=error.headers).response()


def _allowed_methods(request: Request) -> str:
    """Of every route at this path; Starlette itself names those of the first only."""
    methods: set[str] = set()
    for surface in _SURFACES:
        for route in surface.router.routes:
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
                methods |= route.methods or set()
    return ", ".join(sorted(methods))


async def _parameter_error(request: Request, error: Exception) -> Response:
    """A path or query parameter is wrong; bodies are read by `read_json`."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    name = str(problem["loc"][-1])
    return invalid_argument(f"Invalid value for `{name}`: {problem['msg']}.", name).response()


_HANDLERS: dict[Any, Any] = {
    ApiError: _api_error,
    DormouseError: _dormouse_error,
    ReplayedAnswer: _replayed_answer,
    HTTPException: _http_exception,
    RequestValidationError: _parameter_error,
}
