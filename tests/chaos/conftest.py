"""Random moments that can be had again."""

import os
import random
import secrets

import pytest

SEED = "DORMOUSE_TEST_SEED"


@pytest.fixture
def dice() -> random.Random:
    """A source of random moments. What it was seeded with is printed, and can be given again in DORMOUSE_TEST_SEED."""
    seed = os.environ.get(SEED) or secrets.token_hex(4)
    print(f"{SEED}={seed}")
    return random.Random(seed)


def moments(dice: random.Random, count: int, until_s: float) -> list[float]:
    """Random moments between 0 and `until_s`, one in each of `count` equal parts of it, in random order."""
    found = [(number + dice.random()) / count * until_s for number in range(count)]
    dice.shuffle(found)
    return found
