"""Service tokens as text: signed, and read with every check that RFC 8725 asks for.

Imports PyJWT and cryptography, which take their time: identity loads it when the first token comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import jwt

from dormouse_runtime.identity import MAX_LIFETIME_S, TOKEN_TYPE, refused
from dormouse_runtime.strict_jwt import TokenRefusedError, take_apart, verify

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from dormouse_runtime.trusted_keys import TrustedKeys

_ALGORITHM: Final = "EdDSA"
_HEADER_NAMES: Final = frozenset({"alg", "kid", "typ"})
_REQUIRED: Final = ["iss", "aud", "sub", "tenant", "iat", "nbf", "exp"]


def sign(claims: dict[str, Any], key: Ed25519PrivateKey, headers: dict[str, str]) -> str:
    """A token."""
    return jwt.encode(claims, key, algorithm=_ALGORITHM, headers=headers)


def read(token: str, keys: TrustedKeys, audience: str) -> Mapping[str, Any]:
    """The claims of a token that somebody trusted has signed for this audience. Errors: UNAUTHENTICATED."""
    try:
        return _claims(token, keys, audience)
    except TokenRefusedError as error:
        raise refused(_why(error.__cause__)) from error


def _claims(token: str, keys: TrustedKeys, audience: str) -> Mapping[str, Any]:
    unverified = take_apart(token)
    header, issuer = unverified.header, unverified.claims.get("iss")
    # Names outside of our profile (jku, x5u, jwk, crit…) are refused, not ignored: none of them may steer us.
    if header.keys() != _HEADER_NAMES or header["typ"] != TOKEN_TYPE or header["alg"] != _ALGORITHM:
        raise refused("it is not a Dormouse service token")
    key = keys.find(issuer, header["kid"])
    if key is None or not isinstance(issuer, str):
        raise refused("nobody trusted has signed it")
    claims = verify(unverified, key, algorithms=[_ALGORITHM], issuer=issuer, audience=audience, required=_REQUIRED)
    if claims["exp"] - claims["iat"] > MAX_LIFETIME_S:
        raise refused("it lives longer than 15 minutes")
    return claims


def _why(error: BaseException | None) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "it has expired"
    if isinstance(error, jwt.ImmatureSignatureError):
        return "it is not valid yet"
    if isinstance(error, jwt.InvalidAudienceError):
        return "it is meant for another function"
    if isinstance(error, jwt.InvalidSignatureError):
        return "its signature does not match"
    return "it is malformed"
