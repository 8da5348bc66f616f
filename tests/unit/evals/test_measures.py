"""The measures on rankings that can be worked out by hand."""

import math

import pytest

from evals.retrieval.measures import Held, mean, ndcg, recall, reciprocal_rank, separation

NOTHING: Held = frozenset()
FIRST, SECOND, BOTH = frozenset({0}), frozenset({1}), frozenset({0, 1})


def test_recall_is_the_share_of_answers_among_the_first() -> None:
    ranking = [NOTHING, FIRST, FIRST, SECOND]
    assert [recall(ranking, 2, at) for at in (1, 2, 3, 4, 10)] == [0, 0.5, 0.5, 1, 1]
    assert recall([], 1, 10) == 0


def test_the_reciprocal_rank_is_that_of_the_first_passage_with_an_answer() -> None:
    assert reciprocal_rank([NOTHING, NOTHING, SECOND, FIRST], 10) == pytest.approx(1 / 3)
    assert reciprocal_rank([NOTHING, NOTHING, FIRST], 2) == 0


def test_the_best_order_has_an_ndcg_of_one_and_none_found_of_zero() -> None:
    passages = [NOTHING, FIRST, SECOND]
    assert ndcg([FIRST, SECOND, NOTHING], passages, 10) == pytest.approx(1)
    assert ndcg([SECOND, FIRST], passages, 10) == pytest.approx(1)
    assert ndcg([NOTHING], passages, 10) == 0


def test_ndcg_discounts_by_the_logarithm_of_the_place() -> None:
    assert ndcg([NOTHING, FIRST], [FIRST], 10) == pytest.approx(1 / math.log2(3))
    best = 1 + 1 / math.log2(3)
    assert ndcg([FIRST, NOTHING, SECOND], [FIRST, SECOND], 10) == pytest.approx(1.5 / best)
    assert ndcg([NOTHING, FIRST], [FIRST], 1) == 0


def test_the_same_answer_again_brings_nothing() -> None:
    assert ndcg([FIRST, FIRST, SECOND], [FIRST, SECOND], 10) < ndcg([FIRST, SECOND, FIRST], [FIRST, SECOND], 10)
    assert ndcg([FIRST, FIRST], [FIRST], 10) == pytest.approx(1)


def test_a_passage_with_both_answers_is_the_best_order_by_itself() -> None:
    assert ndcg([BOTH], [FIRST, SECOND, BOTH], 10) == pytest.approx(1)
    assert ndcg([FIRST, SECOND], [FIRST, SECOND, BOTH], 10) < 1


def test_a_mean_lies_in_its_interval_which_shrinks_with_more_questions() -> None:
    few, many = mean([0, 1] * 10), mean([0, 1] * 500)
    assert few.low < few.value == 0.5 < few.high
    assert many.high - many.low < few.high - few.low
    assert mean([0, 1] * 10) == few, "the same numbers, the same interval"
    assert (mean([0.25]).low, mean([0.25]).high) == (0.25, 0.25)


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert separation([1, 2], [3, 4]) == 1
    assert separation([3, 4], [1, 2]) == 0
    assert separation([1, 3], [2, 3]) == pytest.approx(2.5 / 4)
