"""Every kind of credential behind one question: who is this?"""

import hashlib
import logging
import secrets
from typing import TYPE_CHECKING

from dormouse_runtime.strict_jwt import LIMIT, TokenRefusedError, looks_like_one, take_apart

from edge.metrics import TOKEN_CHECKS

from .access_tokens import AccessTokens
from .authenticator import Authenticator
from .caller import Caller

if TYPE_CHECKING:
    from .oidc.tokens import OidcTokens

_log = logging.getLogger("edge.auth")


class Credentials:
    """API keys, access tokens of our own sessions, and tokens of the issuers that the operator names."""

    def __init__(self, keys: Authenticator, access: AccessTokens, oidc: "OidcTokens | None") -> None:
        self.keys = keys
        self.access = access
        self._oidc = oidc
        self._hash_key = secrets.token_bytes(32)

    async def authenticate(self, credential: str) -> Caller | None:
        """Whom it speaks for; None: nobody, or nobody any more.

        Raises DATABASE_UNAVAILABLE, or FUNCTION_UNAVAILABLE for an issuer, when it cannot be checked now.
        """
        if not looks_like_one(credential):
            return await self.keys.authenticate(credential)
        if len(credential) > LIMIT or not credential.isascii():
            TOKEN_CHECKS.labels("unknown", "refused").inc()
            return None
        digest = hashlib.blake2b(credential.encode("ascii"), key=self._hash_key, digest_size=32).digest()
        caller = await self.access.recall(digest)
        if caller is None and self._oidc is not None:
            caller = await self._oidc.recall(digest)
        return caller if caller is not None else await self._read(credential, digest)

    async def _read(self, token: str, digest: bytes) -> Caller | None:
        kind = "unknown"
        try:
            unverified = take_apart(token)
            issuer = unverified.claims.get("iss")
            if issuer == self.access.issuer:
                kind = "access"
                caller = await self.access.read(unverified, digest)
            elif self._oidc is not None and self._oidc.knows(issuer):
                kind = "oidc"
                caller = await self._oidc.read(unverified, digest)
            else:
                raise TokenRefusedError("its issuer is not known here")
        except TokenRefusedError as error:
            _log.info("a token is refused", extra={"kind": kind, "cause": str(error)[:200]})
            caller = None
        TOKEN_CHECKS.labels(kind, "refused" if caller is None else "ok").inc()
        return caller
