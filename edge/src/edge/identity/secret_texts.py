"""Secrets that people's programs carry about: refresh tokens and invitations.

    <kind>_<tenant>:<what the kind wants>:<43 base62 characters of secret>

The tenant stands in the text because rows are looked for as a tenant: it opens no door, behind which the secret has to
be found. Stored or compared are keyed hashes only; a text of another kind never fits, because the kind is hashed too.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

from edge.auth.keys import ALPHABET

SECRET_LENGTH: Final = 43
TENANT: Final = r"[A-Za-z0-9_.@-]{1,128}"


@dataclass(frozen=True, slots=True)
class SecretText:
    """One, taken apart."""

    kind: str
    tenant: str
    name: str
    """What finds the row; never empty."""
    secret: str

    @classmethod
    def parse(cls, kind: str, text: str) -> Self | None:
        """None: it cannot be one."""
        match = re.fullmatch(rf"{kind}_({TENANT}):([0-9A-Za-z_.]{{1,80}}):([0-9A-Za-z]{{{SECRET_LENGTH}}})", text)
        return cls(kind, match[1], match[2], match[3]) if match is not None else None

    def __str__(self) -> str:
        return f"{self.kind}_{self.tenant}:{self.name}:{self.secret}"

    def mac(self, pepper: bytes) -> bytes:
        """What is stored in its place: HMAC-SHA-256 of the whole text."""
        return hmac.digest(pepper, str(self).encode("ascii"), "sha256")


def random_secret() -> str:
    """256 bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def derived_secret(pepper: bytes, seed: bytes, label: str) -> str:
    """256 bits that only who knows the pepper and the seed can tell."""
    number = int.from_bytes(hmac.digest(pepper, b"dormouse derived secret\0" + seed + label.encode("ascii"), "sha256"))
    letters = []
    for _ in range(SECRET_LENGTH):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    return "".join(letters)
