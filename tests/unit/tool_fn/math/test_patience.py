"""Optional steps are given up in time, on whatever thread they run, and nothing is raised afterwards."""

import threading
import time

import pytest
from tool_fn.math_worker.patience import OutOfPatience, at_most


def count_for(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def stopped_early() -> bool:
    start = time.monotonic()
    with pytest.raises(OutOfPatience), at_most(0.02):
        count_for(5)
    return time.monotonic() - start < 2


def test_a_long_step_is_given_up() -> None:
    assert stopped_early()


def test_a_long_step_is_given_up_on_another_thread() -> None:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(stopped_early()))
    thread.start()
    thread.join()
    assert found == [True]


def test_a_step_that_ends_in_time_is_left_alone() -> None:
    for _ in range(50):
        with at_most(0.1):
            pass
    count_for(0.2)


def test_a_step_that_ends_just_in_time_raises_in_its_block_or_not_at_all() -> None:
    for _ in range(50):
        try:
            with at_most(0.002):
                count_for(0.002)
        except OutOfPatience:
            continue
        count_for(0.001)
