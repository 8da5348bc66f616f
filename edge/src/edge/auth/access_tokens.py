"""Access tokens: what a login brings, short-lived JWTs that say whose session they are of.

Header {alg EdDSA, kid, typ at+jwt} and nothing else; claims iss, aud, sub (user), tenant, sid (session), iat, nbf, exp,
jti and nothing else. Role and scopes are not in them: they follow from the session, within a minute of their change.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jwt
from dormouse_runtime.strict_jwt import LEEWAY_S, TokenRefusedError, Unverified, text_of, verify

from edge.database import Database
from edge.identity import sessions
from edge.identity.sessions import SessionState

from .believed import Believed
from .caller import Caller
from .scopes import OF_ROLE
from .signing_keys import SigningKeys

TYPE: Final = "at+jwt"
AUDIENCE: Final = "dormouse-api"
ALGORITHM: Final = "EdDSA"
CACHE_LIMIT: Final = 10_000

_HEADER: Final = frozenset({"alg", "kid", "typ"})
_CLAIMS: Final = frozenset({"iss", "aud", "sub", "tenant", "sid", "iat", "nbf", "exp", "jti"})


@dataclass(frozen=True, slots=True)
class _Verified:
    key_id: str
    tenant: str
    user: str
    session_id: str
    expires: float


class AccessTokens:
    """Mints and reads them. What was verified once is remembered, by a hash, until it expires."""

    def __init__(
        self,
        keys: SigningKeys,
        database: Database,
        *,
        issuer: str,
        life_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = keys
        self.issuer = issuer
        self.life_s = life_s
        self._database = database
        self._sessions: Believed[tuple[str, str], SessionState] = Believed(clock)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def mint(self, tenant: str, user: str, session_id: str) -> str:
        """A token for life_s seconds from now. Raises DATABASE_UNAVAILABLE."""
        key_id, private = await self.keys.signer()
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": user,
            "tenant": tenant,
            "sid": session_id,
            "iat": now,
            "nbf": now,
            "exp": now + self.life_s,
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode(claims, private, algorithm=ALGORITHM, headers={"kid": key_id, "typ": TYPE})

    async def recall(self, digest: bytes) -> Caller | None:
        """The caller of a token that was verified before; None: it has to be read."""
        found = self._verified.get(digest)
        if found is None:
            return None
        if found.expires <= time.time() or not self.keys.knows(found.key_id):
            del self._verified[digest]
            return None
        return await self._caller(found)

    async def read(self, unverified: Unverified, digest: bytes) -> Caller | None:
        """Whom the token speaks for; None: its session is over.

        Raises TokenRefusedError, and DATABASE_UNAVAILABLE where nobody can tell.
        """
        header = unverified.header
        if header.keys() != _HEADER or header["typ"] != TYPE or header["alg"] != ALGORITHM:
            raise TokenRefusedError("it is not an access token")
        if unverified.claims.keys() != _CLAIMS:
            raise TokenRefusedError("its claims are not those of an access token")
        key_id = text_of(header, "kid")
        key = await self.keys.find(key_id)
        if key is None:
            raise TokenRefusedError("nobody here has signed it")
        claims = verify(
            unverified,
            key,
            algorithms=[ALGORITHM],
            issuer=self.issuer,
            audience=AUDIENCE,
            required=_CLAIMS,
            max_lifetime_s=self.life_s,
        )
        verified = _Verified(
            key_id=key_id,
            tenant=text_of(claims, "tenant"),
            user=text_of(claims, "sub"),
            session_id=text_of(claims, "sid"),
            expires=claims["exp"] + LEEWAY_S,
        )
        while len(self._verified) >= CACHE_LIMIT:
            self._verified.popitem(last=False)
        self._verified[digest] = verified
        return await self._caller(verified)

    def forget_session(self, tenant: str, session_id: str) -> None:
        """Its tokens count no more here, from now on; on other replicas within 60 s."""
        self._sessions.forget((tenant, session_id))

    async def close(self) -> None:
        """Ends what is under way."""
        await self._sessions.close()

    async def _caller(self, verified: _Verified) -> Caller | None:
        tenant, session_id = verified.tenant, verified.session_id
        state = await self._sessions.get((tenant, session_id), lambda: self._ask(tenant, session_id))
        if state is None or state.user_id != verified.user:
            return None
        return Caller(
            tenant, verified.user, "", state.role, OF_ROLE[state.role], plan=state.plan, session_id=session_id
        )

    async def _ask(self, tenant: str, session_id: str) -> SessionState | None:
        async with self._database.tenant(tenant) as connection:
            return await sessions.state_of(connection, session_id)
