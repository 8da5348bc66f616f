"""Tokens as attackers make them: every byte of them as they want it."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

Sign = Callable[[bytes], bytes]
Part = Mapping[str, Any] | bytes


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def as_bytes(part: Part) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def forge(header: Part, claims: Part, sign: Sign) -> str:
    """A token of these parts; bytes go in as they are."""
    signed = f"{encode(as_bytes(header))}.{encode(as_bytes(claims))}"
    return f"{signed}.{encode(sign(signed.encode()))}"


def signer(key: Any) -> Sign:
    """Signs as EdDSA, RS256 or ES256, as the key is."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign
    if isinstance(key, RSAPrivateKey):
        return lambda data: key.sign(data, padding.PKCS1v15(), SHA256())
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def sign(data: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def with_secret(secret: bytes, digest: str = "sha256") -> Sign:
    """Signs as HS256 and its like."""
    return lambda data: hmac.digest(secret, data, digest)


def constant(signature: bytes) -> Sign:
    return lambda data: signature
