"""Who calls: short-lived signed service tokens, minted by callers and verified by functions.

A token is a JWT signed with EdDSA: header {alg, kid, typ "dormouse-service+jwt"} and nothing else; claims iss, aud (one
function), sub (user), tenant, scope (space-separated), run, iat, nbf, exp. See RFC 8725 for why each is checked.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dormouse.common.v1 import error_pb2

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.keys import KeyFileError, private_key_from_jwk
from dormouse_runtime.trusted_keys import TrustedKeys
from dormouse_runtime.watched_file import WatchedFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_logger = logging.getLogger(__name__)
TOKEN_TYPE: Final = "dormouse-service+jwt"  # noqa: S105 - the name of a format
LEEWAY_S: Final = 5
MAX_LIFETIME_S: Final = 15 * 60
_TOKEN_LIMIT: Final = 8 * 1024
_TENANT_LIMIT: Final = 128
# A run's token is used for one call, rarely for two: few are worth their 1.2 KB.
_CACHE_LIMIT: Final = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose behalf a call runs. run_id is empty outside of a run."""

    tenant: str
    user: str
    scopes: frozenset[str]
    run_id: str
    issuer: str


_identity: Final[ContextVar[Identity]] = ContextVar("dormouse_identity")


def current_identity() -> Identity:
    """The verified caller of the present call. Raises RuntimeError outside of a handler."""
    try:
        return _identity.get()
    except LookupError:
        raise RuntimeError("no identity here: current_identity() works inside a gRPC handler only") from None


def bind_identity(identity: Identity) -> None:
    """Makes the identity the present task's. For the server's interceptor, and for tests."""
    _identity.set(identity)


class TokenIssuer:
    """Mints tokens with the private key in a file, and with the next one as soon as that takes its place."""

    def __init__(self, file: WatchedFile[_SigningKey], issuer: str) -> None:
        self._file = file
        self._issuer = issuer

    @classmethod
    def from_file(cls, path: str | Path, issuer: str = "dormouse-edge") -> TokenIssuer:
        """Reads the private JWK, and again whenever the file changes. Raises KeyFileError."""
        from dormouse_runtime import tokens as _tokens  # noqa: F401 - now, and not with the first token

        return cls(WatchedFile(Path(path), _read_private), issuer)

    @property
    def key_id(self) -> str:
        """Of the key that signs."""
        return self._file.value.headers["kid"]

    def mint(
        self,
        *,
        audience: str,
        tenant: str,
        user: str,
        scopes: Iterable[str] = (),
        run_id: str = "",
        ttl_s: float = 300,
    ) -> str:
        """A token that one function accepts for ttl_s seconds (at most 900) from now; ~0.1 ms."""
        if not 0 < ttl_s <= MAX_LIFETIME_S:
            raise ValueError(f"ttl_s={ttl_s}: a token lives at most {MAX_LIFETIME_S} s")
        if not tenant:
            raise ValueError("a token needs a tenant")
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": user,
            "tenant": tenant,
            "scope": " ".join(sorted(scopes)),
            "run": run_id,
            "iat": now,
            "nbf": now,
            "exp": now + max(int(ttl_s), 1),
        }
        from dormouse_runtime import tokens

        if self._file.refresh():
            _logger.info("the service key changed", extra={"kid": self.key_id})
        signing = self._file.value
        return tokens.sign(claims, signing.key, signing.headers)


@dataclass(frozen=True, slots=True)
class _SigningKey:
    key: Ed25519PrivateKey
    headers: dict[str, str]


def _read_private(path: Path) -> _SigningKey:
    try:
        jwk = json.loads(path.read_bytes())
        key = private_key_from_jwk(jwk)
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    return _SigningKey(key, {"kid": jwk["kid"], "typ": TOKEN_TYPE})


class TokenVerifier:
    """Verifies the tokens meant for one function; remembers what it verified until the token expires."""

    def __init__(self, keys: TrustedKeys, audience: str) -> None:
        self._keys = keys
        self._audience = audience
        self._cache: dict[str, tuple[float, Identity]] = {}
        self._generation = keys.generation

    @classmethod
    def from_file(cls, path: str | Path, audience: str) -> TokenVerifier:
        """Reads the trusted keys, and again whenever the file changes. Raises KeyFileError."""
        return cls(TrustedKeys(Path(path)), audience)

    def verify(self, token: str) -> Identity:
        """Whom the token speaks for. Raises DormouseError(UNAUTHENTICATED)."""
        self._keys.refresh()
        if self._keys.generation != self._generation:
            self._generation = self._keys.generation
            self._cache.clear()  # a key may have been withdrawn, or a limit drawn
        known = self._cache.get(token)
        now = time.time()
        if known is not None and now < known[0]:
            return known[1]
        if len(token) > _TOKEN_LIMIT:
            raise refused("it is longer than 8 KB")
        # Loaded with the first token: what it takes to check one is a third of a function's start, and 12 MB.
        from dormouse_runtime import tokens

        claims = tokens.read(token, self._keys, self._audience)
        identity = _identity_of(claims)
        why_not = self._keys.objection(
            identity.issuer, audience=self._audience, tenant=identity.tenant, scopes=identity.scopes
        )
        if why_not:
            raise refused(why_not)
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[token] = (claims["exp"] + LEEWAY_S, identity)
        return identity


def _identity_of(claims: Mapping[str, Any]) -> Identity:
    texts = [claims["tenant"], claims["sub"], claims.get("scope", ""), claims.get("run", ""), claims["iss"]]
    if (
        not all(isinstance(text, str) and text.isprintable() for text in texts)
        or not 0 < len(texts[0]) <= _TENANT_LIMIT
    ):
        raise refused("its claims are malformed")
    tenant, user, scope, run_id, issuer = texts
    return Identity(tenant, user, frozenset(scope.split()), run_id, issuer)


def refused(why: str) -> DormouseError:
    """The error for a token that is not accepted; `why` ends a sentence."""
    return DormouseError(error_pb2.ERROR_REASON_UNAUTHENTICATED, f"The service token is not accepted: {why}.")
