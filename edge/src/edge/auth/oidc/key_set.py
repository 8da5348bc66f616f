"""An issuer's public keys: fetched rarely, believed while the issuer is away, not fetched at strangers' wish."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.metrics import OIDC_FETCHES

from .issuers import Issuer

REFRESH_S: Final = 300.0
"""After so long the keys are fetched again behind the next token, so that a withdrawn one stops counting."""

COOL_DOWN_S: Final = 30.0
"""At most one fetch in so long, whoever asks for whatever."""

STALE_S: Final = 6 * 3600.0
"""So long keys are believed while the issuer does not answer."""

TIMEOUT_S: Final = 5.0
SIZE_LIMIT: Final = 256 * 1024
KEYS_LIMIT: Final = 100
RSA_BITS: Final = 2048

_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_log = logging.getLogger("edge.oidc")


class IssuerAnswerError(Exception):
    """The issuer does not answer, or not with what it should."""


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key, and the algorithms that it may be used with: those of its kind that the operator allows."""

    key: Any
    algorithms: Sequence[str]


class KeySet:
    """The keys of one issuer by key id."""

    def __init__(self, issuer: Issuer, http: httpx2.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: Mapping[str, IssuerKey] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> IssuerKey | None:
        """The key; None: the issuer has none of that id, as far as may be asked now.

        Raises FUNCTION_UNAVAILABLE where the issuer does not answer and nothing is known that may still be believed.
        """
        age = self._clock() - self._fetched_at
        found = self._keys.get(key_id) if age < STALE_S else None
        if found is not None:
            if age >= REFRESH_S:
                self._fetch()
            return found
        fetching = self._fetch()
        if fetching is not None:
            await asyncio.shield(fetching)
        if self._clock() - self._fetched_at >= STALE_S:
            raise DormouseError(
                ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "The issuer of this token does not answer; try again."
            )
        return self._keys.get(key_id)

    def edition(self) -> float | None:
        """Names the keys as they are now; None: they may not be believed any more. What was verified with them is good
        for as long as the name stays."""
        age = self._clock() - self._fetched_at
        if age >= REFRESH_S:
            self._fetch()
        return self._fetched_at if age < STALE_S else None

    async def close(self) -> None:
        """Ends what is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fetch(self) -> "asyncio.Task[None] | None":
        """The fetch under way, or a new one; None: it is too soon after the last."""
        if self._fetching is None and self._clock() - self._tried_at >= COOL_DOWN_S:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._read())
            self._fetching.add_done_callback(self._has_fetched)
        return self._fetching

    def _has_fetched(self, task: "asyncio.Task[None]") -> None:
        self._fetching = None

    async def _read(self) -> None:
        """Leaves the keys as they were where the issuer does not answer well."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                address = self._issuer.jwks_uri or await self._discover()
                keys = _keys(await self._get(address), self._issuer.algorithms)
        except (IssuerAnswerError, httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            OIDC_FETCHES.labels(self._issuer.name, "failed").inc()
            _log.warning("an issuer's keys cannot be had", extra={"issuer": self._issuer.name, "cause": repr(error)})
            return
        OIDC_FETCHES.labels(self._issuer.name, "ok").inc()
        self._keys, self._fetched_at = keys, self._clock()

    async def _discover(self) -> str:
        """Where the discovery document says that the keys are."""
        document = await self._get(self._issuer.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer.issuer:
            raise IssuerAnswerError("its discovery document is another issuer's")
        address = document.get("jwks_uri")
        try:
            return self._issuer.model_validate({**self._issuer.model_dump(), "jwks_uri": address}).jwks_uri or ""
        except ValueError as error:
            raise IssuerAnswerError("its discovery document names no address that may be asked") from error

    async def _get(self, address: str) -> Mapping[str, Any]:
        async with self._http.stream("GET", address, headers={"accept": "application/json"}) as answer:
            if answer.status_code != 200:
                raise IssuerAnswerError(f"{address} answers {answer.status_code}")
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > SIZE_LIMIT:
                    raise IssuerAnswerError(f"{address} answers with more than {SIZE_LIMIT} bytes")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise IssuerAnswerError(f"{address} does not answer with JSON") from error
        if not isinstance(document, dict):
            raise IssuerAnswerError(f"{address} does not answer with a JSON object")
        return document


def _keys(document: Mapping[str, Any], allowed: Sequence[str]) -> Mapping[str, IssuerKey]:
    """Those that can be used; others are passed over, as RFC 7517 wants it."""
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise IssuerAnswerError("it answers with no key set")
    found: dict[str, IssuerKey] = {}
    for entry in entries[:KEYS_LIMIT]:
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str) and entry.get("use", "sig") == "sig":
            key = _key(entry, allowed)
            if key is not None:
                found.setdefault(entry["kid"], key)
    return found


def _key(entry: Mapping[str, Any], allowed: Sequence[str]) -> IssuerKey | None:
    public = {name: value for name, value in entry.items() if name in ("kty", "crv", "n", "e", "x", "y")}
    try:
        if public.get("kty") == "RSA":
            key: Any = jwt.algorithms.RSAAlgorithm.from_jwk(public)
        elif public.get("kty") == "EC":
            key = jwt.algorithms.ECAlgorithm.from_jwk(public)
        elif public.get("kty") == "OKP":
            key = jwt.algorithms.OKPAlgorithm.from_jwk(public)
        else:
            return None
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    fitting = [name for name in _algorithms_of(key) if name in allowed and entry.get("alg", name) == name]
    return IssuerKey(key, fitting) if fitting else None


def _algorithms_of(key: Any) -> Sequence[str]:
    if isinstance(key, RSAPublicKey):
        return _RSA if key.key_size >= RSA_BITS else ()
    if isinstance(key, EllipticCurvePublicKey):
        return [_CURVES[key.curve.name]] if key.curve.name in _CURVES else []
    return ["EdDSA"] if isinstance(key, Ed25519PublicKey) else []
