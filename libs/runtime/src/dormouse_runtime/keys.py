"""Key pairs of callers: makes them and keeps them as JWK files.

`python -m dormouse_runtime.keys PRIVATE TRUSTED [ISSUER]` writes a new private key and adds its public half to the
trusted keys, whose older entries stay. `issuers` holds what comes later: rotations, and other issuers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Loaded where a key is used: 6 MB that the start of a function does not need.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_KEY_BYTES = 32


class KeyFileError(ValueError):
    """A key file can't be read or holds something else. The text names the file."""


def generate_key() -> tuple[dict[str, str], dict[str, str]]:
    """A new Ed25519 pair as (private JWK, public JWK); their kid is the thumbprint of RFC 7638."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    x = _encode(key.public_key().public_bytes_raw())
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    public = {"kty": "OKP", "crv": "Ed25519", "kid": _encode(thumbprint), "use": "sig", "alg": "EdDSA", "x": x}
    return {**public, "d": _encode(key.private_bytes_raw())}, public


def write_key_pair(private_path: Path, trusted_path: Path, issuer: str = "dormouse-edge") -> str:
    """Makes a pair, writes the private key (mode 600) and adds the public one to the trusted keys; returns the kid.

    Keys that are already trusted stay, so tokens signed with them go on working. Both files are replaced atomically,
    the trusted one first, so that no token is signed with a key that nobody knows.
    """
    private, public = generate_key()
    try:
        trusted = json.loads(trusted_path.read_bytes())
    except FileNotFoundError:
        trusted = {"issuers": {}}
    except ValueError as error:
        raise KeyFileError(f"{trusted_path}: {error}") from error
    trusted["issuers"].setdefault(issuer, {"keys": []})["keys"].append(public)
    replace_file(trusted_path, trusted, 0o644)
    replace_file(private_path, private, 0o600)
    return public["kid"]


def private_key_from_jwk(jwk: object) -> Ed25519PrivateKey:
    """Raises ValueError unless it is an Ed25519 private key with a kid."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    fields = _okp(jwk)
    if "d" not in fields:
        raise ValueError("it holds no private key")
    return Ed25519PrivateKey.from_private_bytes(_decode(fields["d"]))


def public_bytes_from_jwk(jwk: object) -> bytes:
    """Raises ValueError unless it is an Ed25519 public key with a kid, and nothing secret beside it."""
    fields = _okp(jwk)
    if "d" in fields:
        raise ValueError("a private key stands among the trusted ones: replace that key, it is known now")
    raw = _decode(fields["x"])
    if len(raw) != _KEY_BYTES:
        raise ValueError(f"an Ed25519 public key has {_KEY_BYTES} bytes, not {len(raw)}")
    return raw


def public_key(raw: bytes) -> Ed25519PublicKey:
    """The key of `public_bytes_from_jwk`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw)


def _okp(jwk: object) -> Mapping[str, Any]:
    if not isinstance(jwk, dict) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        raise ValueError("wants a JWK with kty OKP and crv Ed25519")
    if not all(isinstance(jwk.get(name), str) and jwk[name] for name in ("kid", "x")):
        raise ValueError("wants a JWK with kid and x")
    return jwk


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def replace_file(path: Path, content: object, mode: int) -> None:
    """Writes JSON in a file's place at once: who reads meanwhile gets the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python -m dormouse_runtime.keys PRIVATE TRUSTED [ISSUER]")
    write_key_pair(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
