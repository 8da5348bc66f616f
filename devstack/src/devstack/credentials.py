"""The secrets of one home: made once, kept in files that only their owner can read."""

import base64
import hashlib
import json
import secrets
import string
import zlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from devstack.postgres import Passwords
from devstack.private_files import write_private

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
ISSUER = "dormouse-edge"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Paths where a process reads the secret itself, texts where it goes into a URL."""

    service_key: Path
    trusted_keys: Path
    pepper: Path
    api_key_file: Path
    api_key: str
    postgres: Passwords
    valkey_password: str


def load_or_make(folder: Path) -> Credentials:
    """Read the secrets in `folder`; make those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    service_key, trusted_keys = folder / "service-key.json", folder / "trusted-keys.json"
    if not (service_key.exists() and trusted_keys.exists()):
        private, public = make_key_pair()
        write_private(service_key, json.dumps(private))
        write_private(trusted_keys, json.dumps({"issuers": {ISSUER: {"keys": [public]}}}))
    api_key_file = folder / "api-key"
    return Credentials(
        service_key=service_key,
        trusted_keys=trusted_keys,
        pepper=_kept(folder / "pepper", secrets.token_hex(32))[0],
        api_key_file=api_key_file,
        api_key=_kept(api_key_file, make_api_key())[1],
        postgres=Passwords(
            superuser=_kept(folder / "postgres-superuser", secrets.token_hex(24))[1],
            owner=_kept(folder / "postgres-owner", secrets.token_hex(24))[1],
            application=_kept(folder / "postgres-application", secrets.token_hex(24))[1],
        ),
        valkey_password=_kept(folder / "valkey", secrets.token_hex(24))[1],
    )


def make_api_key() -> str:
    """`dm_live_`, 43 random base62 characters (256 bits), and 6 that are the CRC-32 of all before them."""
    body = "dm_live_" + "".join(secrets.choice(BASE62) for _ in range(43))
    return body + base62(zlib.crc32(body.encode()), 6)


def base62(number: int, width: int) -> str:
    """Digits, then upper case, then lower case; most significant first; padded with zeros."""
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = BASE62[digit] + text
    return text.rjust(width, "0")


def make_key_pair() -> tuple[dict[str, str], dict[str, str]]:
    """A private and a public Ed25519 JWK (RFC 8037); the kid is the thumbprint of RFC 7638."""
    key = Ed25519PrivateKey.generate()
    x = _base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    d = _base64url(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    thumbprint = hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    public = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": _base64url(thumbprint), "alg": "EdDSA", "use": "sig"}
    return {**public, "d": d}, public


def _kept(path: Path, fresh: str) -> tuple[Path, str]:
    if not path.exists():
        write_private(path, fresh)
    return path, path.read_text().strip()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
