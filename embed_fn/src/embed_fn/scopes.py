"""What a caller's token allows here."""

from typing import Final

from dormouse_runtime.identity import Identity, current_identity

from embed_fn import errors

WRITE: Final = "documents"
READ: Final = "documents:read"


def reader() -> Identity:
    """The present caller, who may read. Errors: PERMISSION_DENIED."""
    return _caller(WRITE, READ)


def writer() -> Identity:
    """The present caller, who may write. Errors: PERMISSION_DENIED."""
    return _caller(WRITE)


def _caller(*scopes: str) -> Identity:
    caller = current_identity()
    if caller.scopes.isdisjoint(scopes):
        raise errors.permission_denied()
    return caller
