"""Which mode a question gets, and how the bounds follow what searches have brought."""

import pytest
from embed_fn.search.complexity import LEAST_OUTCOMES, STEP, Outcome, Thresholds, chosen, complexity, retuned
from embed_fn.search.port import Mode
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("question", "mode"),
    [
        ("refund policy", Mode.FAST),
        ("What is the warranty period?", Mode.FAST),
        ("Wer leitet das Projekt?", Mode.FAST),
        ("How do the two pumps differ?", Mode.BALANCED),
        ("Explain how the valve is cleaned and which parts may be replaced by the owner", Mode.BALANCED),
        (
            "Compare the travel policies of 2024 and 2025: why were the limits changed, and which of the two is better"
            " for employees who travel often but only for a day? What would it cost?",
            Mode.DEEP,
        ),
    ],
)
def test_a_question_gets_the_mode_that_its_work_wants(question: str, mode: Mode) -> None:
    assert chosen(Mode.AUTO, complexity(question), Thresholds()) == mode


@pytest.mark.parametrize("mode", [Mode.FAST, Mode.BALANCED, Mode.DEEP])
def test_a_mode_that_is_asked_for_is_taken(mode: Mode) -> None:
    assert chosen(mode, 0.5, Thresholds()) == mode


@given(st.text(max_size=4096))
def test_every_question_has_a_complexity(question: str) -> None:
    assert 0 <= complexity(question) <= 1


def outcomes(mode: Mode, useful_from: float) -> list[Outcome]:
    """Searches of every complexity, of use from one on."""
    return [Outcome(i / 100, mode, 0.5 if i / 100 >= useful_from else 0.0) for i in range(100)]


def settled(thresholds: Thresholds, seen: list[Outcome]) -> Thresholds:
    for _ in range(40):
        thresholds = retuned(thresholds, seen)
    return thresholds


def bounds(thresholds: Thresholds) -> tuple[float, float]:
    return thresholds.balanced_from, thresholds.deep_from


def test_bounds_go_step_by_step_to_where_a_deeper_mode_is_of_use() -> None:
    seen = outcomes(Mode.BALANCED, 0.5) + outcomes(Mode.DEEP, 0.85)
    once = retuned(Thresholds(0.3, 0.7), seen)
    assert bounds(once) == pytest.approx((0.3 + STEP, 0.7 + STEP))
    assert bounds(settled(once, seen)) == pytest.approx((0.5, 0.85))
    down = outcomes(Mode.BALANCED, 0.1) + outcomes(Mode.DEEP, 0.4)
    assert bounds(settled(once, down)) == pytest.approx((0.1, 0.4))


def test_few_outcomes_and_good_bounds_move_nothing() -> None:
    few = [Outcome(0.9, Mode.DEEP, 0.0)] * (LEAST_OUTCOMES - 1)
    assert retuned(Thresholds(), few) == Thresholds()
    good = outcomes(Mode.BALANCED, 0.3) + outcomes(Mode.DEEP, 0.7)
    assert retuned(Thresholds(), good) == Thresholds()


@given(
    st.floats(0.05, 0.95),
    st.floats(0.05, 0.95),
    st.lists(
        st.builds(Outcome, st.floats(0, 1), st.sampled_from([Mode.BALANCED, Mode.DEEP]), st.floats(0, 1)), max_size=120
    ),
)
def test_bounds_stay_bounds_in_their_order(one: float, other: float, seen: list[Outcome]) -> None:
    new = retuned(Thresholds(min(one, other), max(one, other)), seen)
    assert 0.05 <= new.balanced_from <= new.deep_from <= 0.95
