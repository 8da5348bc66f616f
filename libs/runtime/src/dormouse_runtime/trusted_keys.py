"""The public keys that a function trusts, by issuer and key id; read again when their file changes."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dormouse_runtime.keys import KeyFileError, public_bytes_from_jwk, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CHECK_EVERY_S: Final = 1.0
_logger = logging.getLogger(__name__)


class TrustedKeys:
    """Keys of `{"issuers": {issuer: {"keys": [public JWK…]}}}`. `generation` grows with each change.

    A file that can't be read any more, or not whole yet, leaves the keys as they were and is logged.
    """

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = _read(path)
        self._next_check = time.monotonic() + _CHECK_EVERY_S
        self.generation = 0

    def find(self, issuer: object, key_id: object) -> Ed25519PublicKey | None:
        """The issuer's key of that id. Takes what an unverified token says."""
        if not isinstance(issuer, str) or not isinstance(key_id, str):
            return None
        raw = self._keys.get(issuer, {}).get(key_id)
        return None if raw is None else public_key(raw)

    def refresh(self) -> None:
        """Looks for a change of the file, at most once a second (one stat call)."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_EVERY_S
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._keys = _read(self._path)
        except KeyFileError as error:
            _logger.warning("trusted keys unreadable, keeping the old ones", extra={"reason": str(error)})
            return
        self._stamp = stamp
        self.generation += 1
        _logger.info("trusted keys changed", extra={"issuers": sorted(self._keys)})


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat on a path that runs per call
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(path: Path) -> Mapping[str, Mapping[str, bytes]]:
    try:
        issuers = json.loads(path.read_bytes())["issuers"]
        return {
            issuer: {jwk["kid"]: public_bytes_from_jwk(jwk) for jwk in key_set["keys"]}
            for issuer, key_set in issuers.items()
        }
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise KeyFileError(f'{path}: wants {{"issuers": {{name: {{"keys": [JWK…]}}}}}}') from error
