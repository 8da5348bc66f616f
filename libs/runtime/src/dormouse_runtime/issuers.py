"""What operators do with the key files: rotate the platform's own key, register and withdraw issuers.

A rotation has three steps, and no call fails in any of them: `prepare` makes the next key and publishes its public
half;
once every function has read that (they look once a second; copies of the file, for instance Kubernetes' mounts, take
their time), `switch` has the edge sign with it; once the last token of the old key has expired, `withdraw` ends the
trust in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dormouse_runtime.identity import LEEWAY_S, MAX_LIFETIME_S
from dormouse_runtime.keys import KeyFileError, generate_key, public_bytes_from_jwk, replace_file

EDGE: Final = "dormouse-edge"


class RotationError(ValueError):
    """A step that would make calls fail. The text says what to do instead."""


@dataclass(frozen=True, slots=True)
class RegisteredIssuer:
    """An entry of the trusted keys. None: no limit."""

    name: str
    key_ids: Sequence[str]
    audiences: Sequence[str] | None
    scopes: Sequence[str] | None
    tenants: Sequence[str] | None


def listing(trusted: Path) -> list[RegisteredIssuer]:
    """Everybody trusted, by name. Raises KeyFileError."""
    issuers = _load(trusted)["issuers"]
    return [
        RegisteredIssuer(
            name,
            [jwk["kid"] for jwk in entry["keys"]],
            *(entry.get(limit) for limit in ("audiences", "scopes", "tenants")),
        )
        for name, entry in sorted(issuers.items())
    ]


def next_path(private: Path) -> Path:
    """Where the next key waits until the switch."""
    return private.with_name(private.name + ".next")


def prepare(private: Path, trusted: Path, issuer: str = EDGE) -> str:
    """Makes the next key, publishes its public half, and returns its id. Raises KeyFileError, RotationError."""
    with _changing(trusted) as content:
        if next_path(private).exists():
            raise RotationError(f"{next_path(private)} is there: a rotation has begun, go on with its switch")
        secret, public = generate_key()
        # The private half first: where publishing fails, the next attempt says that this one is there.
        replace_file(next_path(private), secret, 0o600)
        content["issuers"].setdefault(issuer, {"keys": []})["keys"].append(public)
    return public["kid"]


def switch(private: Path, trusted: Path, issuer: str = EDGE) -> str:
    """Puts the next key in the present one's place and returns its id. Raises KeyFileError, RotationError."""
    waiting = next_path(private)
    try:
        kid = json.loads(waiting.read_bytes())["kid"]
    except FileNotFoundError:
        raise RotationError(f"there is no {waiting}: prepare the next key first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{waiting}: {error}") from error
    if all(jwk["kid"] != kid for jwk in _load(trusted)["issuers"].get(issuer, {"keys": []})["keys"]):
        raise RotationError(f"{trusted} does not trust {kid} yet: publish it first, or every call would be refused")
    # Its age tells when the switch was.
    os.utime(waiting)
    waiting.replace(private)
    return str(kid)


def withdraw(private: Path, trusted: Path, issuer: str = EDGE, *, at_once: bool = False) -> list[str]:
    """Ends the trust in the issuer's keys but the present one (and a next one); returns the ids of those withdrawn.

    Raises KeyFileError, and RotationError while tokens of the old key may still be good, unless at_once: that is for a
    key that somebody has stolen.
    """
    kept = {_kid(path) for path in (private, next_path(private)) if path.exists()}
    left_s = private.stat().st_mtime + MAX_LIFETIME_S + LEEWAY_S - time.time()
    if left_s > 0 and not at_once:
        raise RotationError(
            f"tokens of the old key may be good for another {left_s:.0f} s: wait, or withdraw it at once and let calls"
            " that hold such a token fail"
        )
    with _changing(trusted) as content:
        entry = content["issuers"].get(issuer, {"keys": []})
        gone = [jwk["kid"] for jwk in entry["keys"] if jwk["kid"] not in kept]
        entry["keys"] = [jwk for jwk in entry["keys"] if jwk["kid"] in kept]
    return gone


def register(
    trusted: Path,
    issuer: str,
    public: dict[str, Any],
    *,
    audiences: Sequence[str],
    scopes: Sequence[str],
    tenants: Sequence[str] | None,
) -> str:
    """Trusts an internal service's public JWK within limits, and returns the key's id.

    An issuer that is there keeps its other keys (that is how it rotates its own) and gets these limits. Raises
    KeyFileError for what is no public key, RotationError for the platform's own name.
    """
    if issuer == EDGE:
        raise RotationError(f"{EDGE} is the platform's own name; a service has one of its own")
    try:
        public_bytes_from_jwk(public)
    except ValueError as error:
        raise KeyFileError(f"the public key: {error}") from error
    with _changing(trusted) as content:
        entry = content["issuers"].setdefault(issuer, {"keys": []})
        entry["keys"] = [jwk for jwk in entry["keys"] if jwk["kid"] != public["kid"]] + [public]
        entry["audiences"], entry["scopes"] = sorted(audiences), sorted(scopes)
        entry.pop("tenants", None)
        if tenants is not None:
            entry["tenants"] = sorted(tenants)
    return str(public["kid"])


def unregister(trusted: Path, issuer: str, key_id: str = "") -> bool:
    """Ends the trust in an issuer, or in one key of it; whether there was any. Raises KeyFileError, RotationError."""
    if issuer == EDGE:
        raise RotationError(f"without {EDGE} no request would be served; withdraw its old keys instead")
    with _changing(trusted) as content:
        entry = content["issuers"].get(issuer)
        if entry is None:
            return False
        kept = [jwk for jwk in entry["keys"] if key_id and jwk["kid"] != key_id]
        found = len(kept) < len(entry["keys"])
        if kept:
            entry["keys"] = kept
        else:
            del content["issuers"][issuer]
    return found


def _kid(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["kid"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path}: {error}") from error


def _load(trusted: Path) -> dict[str, Any]:
    try:
        content = json.loads(trusted.read_bytes())
    except FileNotFoundError:
        return {"issuers": {}}
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{trusted}: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("issuers"), dict):
        raise KeyFileError(f'{trusted}: wants {{"issuers": {{name: {{"keys": [JWK…]}}}}}}')
    return content


@contextmanager
def _changing(trusted: Path) -> Iterator[dict[str, Any]]:
    """The file's content, written back as a whole when the block ends well. Two at once take turns."""
    trusted.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(trusted.with_name(f".{trusted.name}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = _load(trusted)
        yield content
        replace_file(trusted, content, 0o644)
    finally:
        os.close(lock)
