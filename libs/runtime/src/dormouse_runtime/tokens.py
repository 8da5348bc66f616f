"""Service tokens as text: signed, and read with every check that RFC 8725 asks for.

Imports PyJWT and cryptography, which take their time: identity loads it when the first token comes.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import jwt

from dormouse_runtime.identity import LEEWAY_S, MAX_LIFETIME_S, TOKEN_TYPE, refused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dormouse_runtime.trusted_keys import TrustedKeys

_ALGORITHM: Final = "EdDSA"
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_REQUIRED: Final = ["iss", "aud", "sub", "tenant", "iat", "nbf", "exp"]


def sign(claims: dict[str, Any], key: Ed25519PrivateKey, headers: dict[str, str]) -> str:
    """A token."""
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers=headers)


def read(token: str, keys: TrustedKeys, audience: str) -> dict[str, Any]:
    """The claims of a token that somebody trusted has signed for this audience. Errors: UNAUTHENTICATED."""
    try:
        return _claims(token, keys, audience)
    except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        # Besides PyJWT's own: what JSON can make of a number or of depth, and PyJWT doesn't expect.
        raise refused(_why(error)) from error


def _claims(token: str, keys: TrustedKeys, audience: str) -> dict[str, Any]:
    # What chooses the key is read before the signature is checked, by ourselves: PyJWT would take the whole token
    # apart for each of the two. It is used for nothing else, and PyJWT then reads all of it again, strictly.
    header_segment, payload_segment, _ = token.split(".")
    header = _unverified(header_segment)
    # Names outside of our profile (jku, x5u, jwk, crit…) are refused, not ignored: none of them may steer us.
    if header.keys() != _HEADER_NAMES or header["typ"] != TOKEN_TYPE or header["alg"] != _ALGORITHM:
        raise refused("it is not a Dormouse service token")
    issuer = _unverified(payload_segment).get("iss")
    key = keys.find(issuer, header["kid"])
    if key is None:
        raise refused("nobody trusted has signed it")
    claims = jwt.decode(
        token,
        key,
        algorithms=[_ALGORITHM],
        audience=audience,
        issuer=issuer,
        leeway=LEEWAY_S,
        options={"require": _REQUIRED, "strict_aud": True},
    )
    if claims["exp"] - claims["iat"] > MAX_LIFETIME_S:
        raise refused("it lives longer than 15 minutes")
    return claims


def _unverified(segment: str) -> dict[str, Any]:
    """The JSON object in a token's segment. Raises ValueError, RecursionError."""
    value = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _why(error: Exception) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "it has expired"
    if isinstance(error, jwt.ImmatureSignatureError):
        return "it is not valid yet"
    if isinstance(error, jwt.InvalidAudienceError):
        return "it is meant for another function"
    if isinstance(error, jwt.InvalidSignatureError):
        return "its signature does not match"
    return "it is malformed"
