"""Passwords: hashed with argon2id, in threads of their own, a few at a time."""

import asyncio
import contextlib
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256

# A little above what OWASP asks for at least (19 MiB, 2 rounds); about 50 ms of one core.
MEMORY_MIB: Final = 32
ROUNDS: Final = 2

WAITING_LIMIT: Final = 16
"""So many may wait for each thread, two seconds or so: who comes then is told to come back."""


T = TypeVar("T")


class Passwords:
    """Hashes and checks. A flood of logins gets `threads` cores and no more."""

    def __init__(self, threads: int, memory_mib: int = MEMORY_MIB) -> None:
        self._hasher = PasswordHasher(time_cost=ROUNDS, memory_cost=memory_mib * 1024, parallelism=1)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._limit = threads * (WAITING_LIMIT + 1)
        self._open = 0
        # What is checked when there is no such user, so that the answer takes as long; nobody's password fits it.
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """What is stored in the password's place. Raises OVERLOADED."""
        return await self._run(self._hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; False, and just as slowly, where there is none to compare with.

        Raises OVERLOADED.
        """
        return await self._run(self._verify, password, stored)

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Lets go of the threads; what is under way ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._open >= self._limit:
            raise DormouseError(ErrorReason.ERROR_REASON_OVERLOADED, "Too many people log in just now; try again.")
        self._open += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        finally:
            self._open -= 1

    def _hash(self, password: str) -> str:
        return self._hasher.hash(_normal(password))

    def _verify(self, password: str, stored: str | None) -> bool:
        if stored is None:
            if self._nobodys is None:
                self._nobodys = self._hasher.hash(secrets.token_hex(32))
            with contextlib.suppress(VerificationError):
                self._hasher.verify(self._nobodys, _normal(password))
            return False
        try:
            return self._hasher.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False


def problem_of(password: str, *, email: str = "") -> str | None:
    """Why it cannot be somebody's password; None where it can."""
    if len(password) < MIN_LENGTH:
        return f"a password has at least {MIN_LENGTH} characters"
    if len(password) > MAX_LENGTH:
        return f"a password has at most {MAX_LENGTH} characters"
    if email and password.casefold() in (email.casefold(), email.casefold().partition("@")[0]):
        return "a password is not the e-mail address"
    return None


def _normal(password: str) -> str:
    """The same characters, however a keyboard has composed them."""
    return unicodedata.normalize("NFKC", password)
