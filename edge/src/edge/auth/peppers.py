"""The secrets that API keys are stored under: one, or several while one takes another's place."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import keys

LEAST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Peppers:
    """The present one first; behind it those that keys may still be stored under."""

    values: Sequence[bytes]

    @classmethod
    def read(cls, path: Path) -> Self:
        """One a line, the present one first. Raises ValueError, which names the file and not what is in it."""
        values = path.read_bytes().split()
        if not values or any(len(value) < LEAST_BYTES for value in values):
            raise ValueError(f"{path} wants a pepper a line, of {LEAST_BYTES} characters or more each")
        return cls(tuple(values))

    @property
    def present(self) -> bytes:
        """What new keys are stored under."""
        return self.values[0]

    @property
    def fingerprint(self) -> str:
        """Tells the present pepper from others and says nothing about it."""
        return hashlib.blake2b(b"dormouse key pepper", key=self.present[:64], digest_size=6).hexdigest()

    def macs(self, key: str) -> list[bytes]:
        """What may be stored in the key's place, under the present pepper first."""
        return [keys.mac(pepper, key) for pepper in self.values]
