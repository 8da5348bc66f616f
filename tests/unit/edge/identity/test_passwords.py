"""Passwords: hashed well, never in the way of others, and slow in the same way for everybody."""

import asyncio
import time

import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from edge.identity.attempts import ACCOUNT_PATIENCE, LIMIT, PACE_S, PATIENCE, Attempts
from edge.identity.passwords import MAX_LENGTH, WAITING_LIMIT, Passwords, problem_of

LITTLE_MIB = 8


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(1, LITTLE_MIB)


async def test_a_password_is_stored_as_argon2id_with_a_salt(passwords: Passwords) -> None:
    one, other = [await passwords.hash("correct horse battery") for _ in range(2)]
    assert one.startswith("$argon2id$v=19$m=8192,t=2,p=1$")
    assert one != other
    assert await passwords.verify("correct horse battery", one)
    assert not await passwords.verify("correct horse batterY", one)
    assert not await passwords.verify("correct horse battery", None)
    assert not await passwords.verify("correct horse battery", "no hash at all")
    assert not passwords.is_outdated(one)
    assert passwords.is_outdated(
        "$argon2id$v=19$m=19456,t=2,p=1$BRl7Z1nn3+erTnqd3APqzQ$L1l+1HGSYfxiY/JaAkJYSqhfrA8ndEkc"
    )


async def test_the_same_characters_fit_however_they_were_typed(passwords: Passwords) -> None:
    stored = await passwords.hash("Zu\u0308rich am See, 1848")
    assert await passwords.verify("Z\u00fcrich am See, 1848", stored)


async def test_a_flood_of_logins_leaves_the_loop_free_and_is_turned_away(passwords: Passwords) -> None:
    flood = [asyncio.ensure_future(passwords.verify("wrong", None)) for _ in range(3 * WAITING_LIMIT)]
    turns = 0
    while not all(task.done() for task in flood):
        await asyncio.sleep(0)
        turns += 1
    answers = await asyncio.gather(*flood, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, DormouseError)]
    assert answers.count(False) == WAITING_LIMIT + 1
    assert turns > 10 * WAITING_LIMIT, "meanwhile the loop has served others"
    assert {error.reason for error in refused} == {ErrorReason.ERROR_REASON_OVERLOADED}
    assert await passwords.verify("wrong", None) is False, "and after it there is room again"


async def test_an_unknown_user_costs_what_a_wrong_password_costs(passwords: Passwords) -> None:
    """CPU time of the process, so that it holds on a busy machine."""
    stored = await passwords.hash("correct horse battery")
    await passwords.verify("wrong", None)

    async def cost(hashed: str | None) -> float:
        started = time.process_time()
        for _ in range(5):
            await passwords.verify("wrong", hashed)
        return time.process_time() - started

    known, unknown = await cost(stored), await cost(None)
    assert 0.5 < known / unknown < 2


@pytest.mark.parametrize(
    ("password", "is_good"),
    [
        ("twelve chars", True),
        ("eleven char", False),
        ("x" * MAX_LENGTH, True),
        ("x" * (MAX_LENGTH + 1), False),
        ("pässwörter sind gut", True),
        ("ann.somebody@example.org", False),
        ("ANN.SOMEBODY", False),
    ],
)
def test_what_can_be_a_password(password: str, is_good: bool) -> None:
    assert (problem_of(password, email="ann.somebody@example.org") is None) == is_good


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_failures_are_paced_by_account_and_address_and_leak_away() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for _ in range(PATIENCE):
        assert attempts.wait_s("ann", "10.0.0.1") == 0
        attempts.failed("ann", "10.0.0.1")
    assert attempts.wait_s("ann", "10.0.0.1") == pytest.approx(PACE_S)
    assert attempts.wait_s("ann", "10.0.0.2") == 0, "its owner, elsewhere, is not locked out"
    assert attempts.wait_s("bob", "10.0.0.1") == 0
    clock.now += PACE_S
    assert attempts.wait_s("ann", "10.0.0.1") == 0
    for number in range(ACCOUNT_PATIENCE):
        attempts.failed("ann", f"10.1.0.{number}")
    assert attempts.wait_s("ann", "10.0.0.2") > 0, "but from everywhere at once it is too much"
    clock.now += (ACCOUNT_PATIENCE + PATIENCE + 1) * PACE_S
    assert attempts.wait_s("ann", "10.0.0.1") == 0


def test_the_memory_for_failures_is_bounded() -> None:
    attempts = Attempts(Clock())
    for number in range(LIMIT):
        attempts.failed(number, "10.0.0.1")
    assert len(attempts._empty_at) <= LIMIT
