"""The `Authorization` header as a dependency of every route that speaks for somebody."""

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from edge.errors import unauthenticated
from edge.request_context import context_of
from edge.services import services_of

from .authenticator import Caller


class ApiKeyScheme(SecurityBase):
    """Reads the key, tells its owner, and stands in the OpenAPI document."""

    scheme_name = "ApiKey"
    model = HTTPBearer(
        bearerFormat="dm_live_…", description="An API key of the platform: `Authorization: Bearer dm_live_…`"
    )

    async def __call__(self, request: Request) -> Caller:
        """The caller. Raises ApiError 401, and DATABASE_UNAVAILABLE when the key cannot be checked now."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise unauthenticated(
                "You didn't provide an API key. Send it in an Authorization header: `Authorization: Bearer dm_live_…`."
            )
        caller = await services_of(request).authenticator.authenticate(key)
        if caller is None:
            raise unauthenticated("The API key is not valid: it is mistyped, unknown or revoked.")
        context_of(request.scope).tenant = caller.tenant
        return caller


SCHEME: Final = ApiKeyScheme()
CurrentCaller = Annotated[Caller, Depends(SCHEME)]
