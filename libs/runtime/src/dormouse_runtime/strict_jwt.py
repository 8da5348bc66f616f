"""JWTs read without mercy (RFC 8725): one reading, of which nothing is believed before the signature is checked.

PyJWT checks signatures and claims. Here stands what a library has to be lenient about: duplicate names, lists for
audiences, numbers that are no dates, paddings, headers that would steer the choice of a key..
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import jwt
from jwt.types import Options

LIMIT: Final = 8 * 1024
LEEWAY_S: Final = 5
TEXT_LIMIT: Final = 256

_SEGMENT: Final = r"[A-Za-z0-9_-]+"
_FORM: Final = re.compile(rf"{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}")
_LATEST: Final = 1 << 40
"""Seconds since 1970 that no date has which anybody means."""


class TokenRefusedError(Exception):
    """The token is not accepted; the text is for our own logs and tests, no client sees it."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says. Good for choosing the key, and for nothing else."""

    token: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def looks_like_one(credential: str) -> bool:
    """Whether it could be a JWT rather than an API key."""
    return credential.count(".") == 2


def take_apart(token: str) -> Unverified:
    """Raises TokenRefusedError."""
    if len(token) > LIMIT:
        raise TokenRefusedError("it is longer than 8 KB")
    if _FORM.fullmatch(token) is None:
        raise TokenRefusedError("it has not the form of a signed JWT")
    header, claims, signature = token.split(".")
    _decode(signature)
    return Unverified(token, _object(header), _object(claims))


def verify(
    unverified: Unverified,
    key: Any,
    *,
    algorithms: Sequence[str],
    issuer: str,
    audience: str,
    required: Collection[str],
    max_lifetime_s: float | None = None,
    others_in_audience: bool = False,
) -> Mapping[str, Any]:
    """The claims, once signature, issuer, audience and dates are as they should be. Raises TokenRefusedError.

    algorithms: what this key may be used with; never taken from the token. others_in_audience: a list that holds the
    audience is good enough.
    """
    claims = unverified.claims
    for name in ("iat", "nbf", "exp"):
        if name in claims:
            _check_date(name, claims[name])
    options: Options = {"require": [*required], "strict_aud": not others_in_audience}
    try:
        verified = jwt.decode(
            unverified.token,
            key,
            algorithms=list(algorithms),
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S,
            options=options,
        )
    except (jwt.PyJWTError, ArithmeticError, RecursionError, TypeError, ValueError) as error:
        # Besides PyJWT's own: what keys and numbers can be made to raise below it.
        raise TokenRefusedError(str(error) or type(error).__name__) from error
    if max_lifetime_s is not None and verified["exp"] - verified.get("iat", time.time()) > max_lifetime_s:
        raise TokenRefusedError("it lives too long")
    return verified


def text_of(claims: Mapping[str, Any], name: str) -> str:
    """A claim that is a text of our tables. Raises TokenRefusedError."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        raise TokenRefusedError(f"{name} is not a short text")
    return value


def _check_date(name: str, value: Any) -> None:
    # bool is an int to Python, and true a date in 1970.
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    if not is_number or not 0 <= value < _LATEST:
        raise TokenRefusedError(f"{name} is not a date")


def _object(segment: str) -> Mapping[str, Any]:
    try:
        value = json.loads(_decode(segment), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TokenRefusedError("it does not hold JSON") from error
    if not isinstance(value, dict):
        raise TokenRefusedError("it does not hold a JSON object")
    return value


def _decode(segment: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError) as error:
        raise TokenRefusedError("it is not base64url") from error
    # Several texts stand for the same bytes: only the one that an encoder makes is a token.
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise TokenRefusedError("it is not canonical base64url")
    return data


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
