"""The text form of API keys: `dm_live_`, 43 base62 characters of secret, 6 of checksum.

The checksum is CRC-32 over everything before it, in base62 with leading zeros. It is no protection: it lets typing
errors and scanners' noise be refused without a look into the database.
"""

import hmac
import re
import secrets
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX: Final = "dm_live_"
SECRET_LENGTH: Final = 43
CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}")


def checksum(text: str) -> str:
    """The six characters that belong behind `text`."""
    number = zlib.crc32(text.encode("ascii"))
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def generate() -> str:
    """A new key with 256 bits of randomness."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    return body + checksum(body)


def is_well_formed(key: str) -> bool:
    """Whether the text can be a key at all: prefix, alphabet, length and checksum."""
    return _FORM.fullmatch(key) is not None and key[-CHECKSUM_LENGTH:] == checksum(key[:-CHECKSUM_LENGTH])


def mac(pepper: bytes, key: str) -> bytes:
    """What is stored in a key's place: HMAC-SHA-256 with the pepper."""
    return hmac.digest(pepper, key.encode("ascii"), "sha256")
