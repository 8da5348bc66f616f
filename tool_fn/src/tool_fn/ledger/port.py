"""What the ledger says of a call."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tool_fn.results import Result


@dataclass(frozen=True, slots=True)
class Entry:
    """A call with side effects. The same tenant and key mean the same call; then tool and arguments are the same."""

    tenant: str
    key: str
    tool: str
    arguments_hash: bytes


@dataclass(frozen=True, slots=True)
class Mine:
    """Nobody has begun the call. It is the caller's to run now, and whoever comes later waits."""


@dataclass(frozen=True, slots=True)
class NotBegun:
    """Nobody has begun the call, and the caller did not want to."""


@dataclass(frozen=True, slots=True)
class Running:
    """Another process runs it. Ask again."""


@dataclass(frozen=True, slots=True)
class Finished:
    """It has run; this is what it brought."""

    result: Result


@dataclass(frozen=True, slots=True)
class Lost:
    """It had begun, and the process that ran it is gone."""


@dataclass(frozen=True, slots=True)
class Different:
    """The key belongs to a call of another tool, or with other arguments."""


Verdict = Mine | NotBegun | Running | Finished | Lost | Different


def arguments_hash(arguments: bytes) -> bytes:
    """The same for the same JSON value, however it is written; for what is none, of the bytes."""
    with suppress(ValueError, ArithmeticError, RecursionError):  # no JSON, or a number that has no such form
        arguments = msgspec.json.encode(msgspec.json.decode(arguments), order="sorted")
    return hashlib.sha256(arguments).digest()
