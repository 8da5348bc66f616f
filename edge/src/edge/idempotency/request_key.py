"""What a client's key stands for: whose it is, what was asked with it, and how its answer is locked away."""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.auth.caller import Caller
from edge.errors import ApiError, invalid_argument

HEADER: Final = b"idempotency-key"
MOST_CHARACTERS: Final = 255
_FORM: Final = re.compile(rf"[\x21-\x7e]{{1,{MOST_CHARACTERS}}}")
_NONCE_BYTES: Final = 12

FORM_TYPE: Final = "multipart/form-data"


def read_key(values: Sequence[bytes]) -> str:
    """The key in the header. Raises ApiError 400."""
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    if _FORM.fullmatch(text) is None:
        raise invalid_argument(
            f"`Idempotency-Key` wants one value of 1 to {MOST_CHARACTERS} visible ASCII characters, such as a UUID.",
            "Idempotency-Key",
        )
    return text


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A key as one caller's: another credential's same key is another one."""

    who: bytes
    text: str
    peppers: Sequence[bytes]

    @classmethod
    def of(cls, caller: Caller, text: str, peppers: Sequence[bytes]) -> "RequestKey":
        """The caller is the API key where there is one, otherwise the user."""
        credential = f"key\0{caller.key_id}" if caller.key_id else f"user\0{caller.user}"
        return cls(f"{caller.tenant}\0{credential}".encode(), text, peppers)

    @property
    def digests(self) -> list[bytes]:
        """What the key is found by, under each pepper that counts, the present one's first."""
        return [self._mac(pepper, b"found by") for pepper in self.peppers]

    def seal(self, answer: bytes) -> bytes:
        """The answer, compressed and encrypted with what only the client's key can tell."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._mac(self.peppers[0], b"sealed by")).encrypt(nonce, zlib.compress(answer, 1), None)

    def open(self, sealed: bytes) -> bytes:
        """What `seal` has locked away. Raises ValueError."""
        nonce, data = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for pepper in self.peppers:
            try:
                return zlib.decompress(AESGCM(self._mac(pepper, b"sealed by")).decrypt(nonce, data, None))
            except InvalidTag:
                continue
        raise ValueError("a kept answer cannot be read")

    def _mac(self, pepper: bytes, what_for: bytes) -> bytes:
        text = b"idempotency " + what_for + b"\0" + self.who + b"\0" + self.text.encode()
        return hmac.digest(pepper, text, "sha256")


def fingerprint(method: str, path: str, query: str, media_type: str, body: bytes) -> bytes:
    """Of what a request asks for. JSON counts by what it says, and the order of parameters does not count."""
    parameters = sorted(parse_qsl(query, keep_blank_values=True))
    said = orjson.dumps((method, path, parameters, media_type))
    return hashlib.sha256(said + b"\0" + _canonical(body)).digest()


def _canonical(body: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return body


def used_otherwise() -> ApiError:
    """The key has been sent with another request."""
    return ApiError(
        422,
        "This `Idempotency-Key` was sent with another request. A new request needs a new key.",
        type="idempotency_error",
        code="idempotency_key_reused",
        param="Idempotency-Key",
        headers={"x-should-retry": "false"},
    )
