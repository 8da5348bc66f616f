"""Every route says what it takes to use it, in the code and in the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from edge.app import _SURFACES, create_app
from edge.auth.bearer import BearerScheme
from edge.auth.scopes import ALL, OF_ROLE, Role, Scope
from edge.settings import Settings
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

PUBLIC = {
    *("/healthz", "/readyz", "/health/{component}"),
    *("/auth/login", "/auth/refresh", "/auth/logout", "/auth/accept", "/.well-known/jwks.json"),
}
"""Needs no credential."""

ANYBODY = {"/auth/me"}
"""Needs one, and no scope."""


def routes() -> Iterator[APIRoute]:
    for surface in _SURFACES:
        for route in surface.router.routes:
            assert isinstance(route, APIRoute), f"{route} would go past the check"
            yield route


def scopes_of(dependant: Dependant) -> list[str] | None:
    """None: nobody checks."""
    found = [scopes_of(inner) for inner in dependant.dependencies]
    if isinstance(dependant.call, BearerScheme):
        return list(dependant.own_oauth_scopes or [])
    return next((scopes for scopes in found if scopes is not None), None)


def test_every_route_asks_for_a_scope_or_is_on_the_short_list_of_public_ones() -> None:
    for route in routes():
        scopes = scopes_of(route.dependant)
        name = f"{route.methods} {route.path}"
        if route.path in PUBLIC:
            assert scopes is None, name
        elif route.path in ANYBODY:
            assert scopes == [], name
        else:
            assert scopes, name
            assert set(scopes) <= ALL, name


def test_a_role_has_no_more_than_the_one_above_it() -> None:
    assert OF_ROLE[Role.VIEWER] < OF_ROLE[Role.MEMBER] < OF_ROLE[Role.ADMIN] == ALL
    assert OF_ROLE[Role.VIEWER].isdisjoint({Scope.RUNS, Scope.THREADS, Scope.FILES, Scope.TOOLS, Scope.KEYS})
    assert OF_ROLE[Role.MEMBER].isdisjoint({Scope.USERS, Scope.AUDIT, Scope.KEYS_ALL, Scope.USAGE_ALL})


def describe(document: dict[str, Any]) -> dict[str, list[str]]:
    """The scopes that the document names for each operation."""
    found: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for security in operation.get("security", []):
                found[f"{method.upper()} {path}"] = security["Bearer"]
    return found


def test_the_document_names_the_scope_of_each_operation() -> None:
    app = create_app(Settings.model_construct(max_file_bytes=1, max_body_bytes=1))
    described = describe(app.openapi())
    for route in routes():
        if route.include_in_schema and route.path not in PUBLIC:
            for method in route.methods or ():
                assert described[f"{method} {route.path_format}"] == scopes_of(route.dependant)
