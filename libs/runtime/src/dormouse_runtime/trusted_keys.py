"""Whom a function trusts: public keys by issuer and key id, and what each issuer may ask for.

    {"issuers": {"billing": {"keys": [public JWK…], "audiences": ["agent_fn"], "scopes": [], "tenants": ["acme"]}}}

Without `audiences`, `scopes` or `tenants` an issuer has no limit there: that is the edge's entry. An empty list lets
nothing through.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dormouse_runtime.keys import KeyFileError, public_bytes_from_jwk, public_key
from dormouse_runtime.watched_file import WatchedFile

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_logger = logging.getLogger(__name__)
_FIELDS: Final = frozenset({"keys", "audiences", "scopes", "tenants"})


@dataclass(frozen=True, slots=True)
class Issuer:
    """One entry. None: no limit."""

    keys: Mapping[str, bytes]
    audiences: frozenset[str] | None
    scopes: frozenset[str] | None
    tenants: frozenset[str] | None

    def objection(self, audience: str, tenant: str, scopes: Iterable[str]) -> str:
        """Why the issuer may not have signed such a token, as the end of a sentence; empty where it may."""
        if self.audiences is not None and audience not in self.audiences:
            return "its issuer may not call this function"
        if self.tenants is not None and tenant not in self.tenants:
            return "its issuer may not speak for this tenant"
        if self.scopes is not None and not self.scopes.issuperset(scopes):
            return "its issuer may not give these scopes"
        return ""


class TrustedKeys:
    """The file's content, read again when it changes; `generation` grows with each change."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError."""
        self._file = WatchedFile(path, _read)
        self.generation = 0

    def find(self, issuer: object, key_id: object) -> Ed25519PublicKey | None:
        """The issuer's key of that id. Takes what an unverified token says."""
        if not isinstance(issuer, str) or not isinstance(key_id, str):
            return None
        entry = self._file.value.get(issuer)
        raw = None if entry is None else entry.keys.get(key_id)
        return None if raw is None else public_key(raw)

    def objection(self, issuer: str, *, audience: str, tenant: str, scopes: Iterable[str]) -> str:
        """See Issuer.objection."""
        entry = self._file.value.get(issuer)
        return "nobody trusted has signed it" if entry is None else entry.objection(audience, tenant, scopes)

    def refresh(self) -> None:
        """Looks for a change of the file, at most once a second (one stat call)."""
        if self._file.refresh():
            self.generation += 1
            _logger.info("trusted keys changed", extra={"issuers": sorted(self._file.value)})


def _read(path: Path) -> Mapping[str, Issuer]:
    try:
        issuers = json.loads(path.read_bytes())["issuers"]
        return {name: _issuer(entry) for name, entry in issuers.items()}
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise KeyFileError(f'{path}: wants {{"issuers": {{name: {{"keys": [JWK…]}}}}}}') from error


def _issuer(entry: Mapping[str, Any]) -> Issuer:
    # A limit whose name is misspelt would be none.
    if unknown := sorted(entry.keys() - _FIELDS):
        raise ValueError(f"an issuer has no field {unknown[0]!r}: it may have {', '.join(sorted(_FIELDS))}")
    keys = {jwk["kid"]: public_bytes_from_jwk(jwk) for jwk in entry["keys"]}
    return Issuer(keys, *(_limit(entry, name) for name in ("audiences", "scopes", "tenants")))


def _limit(entry: Mapping[str, Any], name: str) -> frozenset[str] | None:
    if name not in entry:
        return None
    values = entry[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} wants a list of texts")
    return frozenset(values)
