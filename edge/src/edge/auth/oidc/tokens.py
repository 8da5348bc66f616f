"""From a token of another issuer to a caller."""

import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from dormouse_runtime.strict_jwt import LEEWAY_S, TokenRefusedError, Unverified, text_of, verify

from edge.audit import Entry, append
from edge.auth.believed import Believed
from edge.auth.caller import Caller
from edge.auth.scopes import OF_ROLE, Role
from edge.database import Database

from .issuers import Issuer
from .key_set import TIMEOUT_S, KeySet

CACHE_LIMIT: Final = 10_000

# What issuers are known to send along, and what has no say in which key is used. Others (jku, x5u, jwk, crit, zip…)
# are refused, not ignored.
_HEADER: Final = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
_REQUIRED: Final = ("iss", "aud", "iat", "exp")
_TENANT: Final = re.compile(r"[A-Za-z0-9_.@-]{1,128}")
_HIGHEST_FIRST: Final = (Role.ADMIN, Role.MEMBER, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class _Verified:
    issuer: Issuer
    edition: float
    tenant: str
    user: str
    role: Role
    expires: float


class OidcTokens:
    """Reads tokens of the issuers that the operator's file names; remembers what it verified, by a hash."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        database: Database,
        http: httpx2.AsyncClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {issuer.issuer: (issuer, KeySet(issuer, http, clock)) for issuer in issuers}
        self._database = database
        self._plans: Believed[str, str] = Believed(clock)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    def knows(self, issuer: object) -> bool:
        """Whether its tokens are read here."""
        return isinstance(issuer, str) and issuer in self._issuers

    async def recall(self, digest: bytes) -> Caller | None:
        """The caller of a token that was verified with the keys as they are; None: it has to be read."""
        found = self._verified.get(digest)
        if found is None:
            return None
        _, key_set = self._issuers[found.issuer.issuer]
        if found.expires <= time.time() or key_set.edition() != found.edition:
            del self._verified[digest]
            return None
        return await self._caller(found)

    async def read(self, unverified: Unverified, digest: bytes) -> Caller | None:
        """Whom the token speaks for; None: its tenant is not one of ours.

        Raises TokenRefusedError, FUNCTION_UNAVAILABLE where its issuer would have to be asked and does not answer, and
        DATABASE_UNAVAILABLE.
        """
        issuer, key_set = self._issuers[unverified.claims["iss"]]
        header = unverified.header
        if not header.keys() <= _HEADER or header.get("typ", "") not in issuer.types:
            raise TokenRefusedError("it is not the kind of token that this issuer is asked for")
        if header.get("alg") not in issuer.algorithms:
            raise TokenRefusedError("its algorithm is not one of those agreed on")
        key = await key_set.find(text_of(header, "kid"))
        if key is None:
            raise TokenRefusedError("its issuer has no such key")
        claims = verify(
            unverified,
            key.key,
            algorithms=key.algorithms,
            issuer=issuer.issuer,
            audience=issuer.audience,
            required=_REQUIRED,
            max_lifetime_s=issuer.max_lifetime_s,
            others_in_audience=issuer.others_in_audience,
        )
        user = f"{issuer.name}:{text_of(claims, issuer.user)}"
        verified = _Verified(
            issuer,
            key_set.edition() or 0.0,
            _tenant_of(issuer, claims),
            user,
            _role_of(issuer, claims),
            claims["exp"] + LEEWAY_S,
        )
        while len(self._verified) >= CACHE_LIMIT:
            self._verified.popitem(last=False)
        self._verified[digest] = verified
        return await self._caller(verified)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._plans.close()
        for _, key_set in self._issuers.values():
            await key_set.close()

    async def _caller(self, verified: _Verified) -> Caller | None:
        issuer, tenant = verified.issuer, verified.tenant
        plan = await self._plans.get(tenant, lambda: self._ask(issuer, tenant))
        if plan is None:
            return None
        return Caller(tenant, verified.user, "", verified.role, OF_ROLE[verified.role], plan=plan)

    async def _ask(self, issuer: Issuer, tenant: str) -> str | None:
        """The tenant's plan, made where the operator wants that; None: there is no such tenant."""
        async with self._database.tenant(tenant) as connection:
            if issuer.unknown_tenant == "create":
                row = await (await connection.execute("select add_tenant(%s) as is_new", (tenant,))).fetchone()
                if row is not None and row["is_new"]:
                    await append(connection, Entry(tenant, f"issuer:{issuer.name}", "tenant.created", tenant))
            row = await (await connection.execute("select plan from tenants where id = %s", (tenant,))).fetchone()
        return row["plan"] if row is not None else None


@asynccontextmanager
async def open_oidc(issuers: Iterable[Issuer], database: Database) -> AsyncIterator[OidcTokens]:
    """The reader with a connection of its own to the issuers, which follows no redirect."""
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as http:
        tokens = OidcTokens(issuers, database, http)
        try:
            yield tokens
        finally:
            await tokens.close()


def _tenant_of(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    rule = issuer.tenant
    if rule.value is not None:
        return rule.value
    said = _find(claims, rule.claim or "")
    if rule.map is not None:
        said = rule.map.get(said) if isinstance(said, str) else None
    if not isinstance(said, str) or _TENANT.fullmatch(said) is None:
        raise TokenRefusedError("its tenant is none")
    return said


def _role_of(issuer: Issuer, claims: Mapping[str, Any]) -> Role:
    rule = issuer.role
    said = _find(claims, rule.claim) if rule.claim is not None else None
    texts = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    roles = {rule.map[text] for text in texts if isinstance(text, str) and text in rule.map}
    role = next((role for role in _HIGHEST_FIRST if role in roles), rule.default)
    if role is None:
        raise TokenRefusedError("it stands for no role here")
    return role


def _find(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name; where there is none, by the way to it: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    here: Any = claims
    for part in name.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return here
