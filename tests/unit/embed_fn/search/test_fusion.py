"""Fusion: ranks of several halves, and neighbours made one."""

import pytest
from embed_fn.search.fusion import LEAST_SHARE, MOST_GAP, MOST_MERGED, RANK_CONSTANT, Ranked, Ranking, fused, hits_from
from embed_fn.store.passages import ChunkId, merged
from embed_fn.store.records import Passage


def ranking(*keys: int, weight: float = 1.0) -> Ranking:
    return Ranking(dict.fromkeys(keys, 0.7), weight)


def ranked(number: int, score: float, *, document: str = "d", gap: int = 1, length: int = 10) -> Ranked:
    start = number * (length + gap)
    text, chunk_id = chr(97 + number) * length, f"{document}.{number}"
    passage = Passage(chunk_id, document, "name", text, ("A",), number, number, start, start + length)
    return Ranked(passage, number, score, score / 2, None)


def test_a_passage_has_the_sum_of_its_reciprocal_ranks() -> None:
    assert fused([ranking(1, 2, 3), ranking(3, 4)]) == {
        3: pytest.approx(1 / (RANK_CONSTANT + 3) + 1 / (RANK_CONSTANT + 1)),
        1: pytest.approx(1 / (RANK_CONSTANT + 1)),
        2: pytest.approx(1 / (RANK_CONSTANT + 2)),
        4: pytest.approx(1 / (RANK_CONSTANT + 2)),
    }
    assert list(fused([ranking(1, 2, 3), ranking(3, 4)])) == [3, 1, 2, 4], "equals in the order of their keys"


def test_a_ranking_of_less_weight_moves_less() -> None:
    assert list(fused([ranking(1, 2), ranking(2, weight=0.5)])) == [2, 1]
    assert list(fused([ranking(1), ranking(2, weight=0.5)])) == [1, 2]
    assert fused([]) == {}


def test_a_rank_counts_by_the_share_of_the_best_score() -> None:
    assert fused([Ranking({1: 8.0, 2: 2.0, 3: 0.1, 4: -1.0})]) == {
        1: pytest.approx(1 / (RANK_CONSTANT + 1)),
        2: pytest.approx(0.25 / (RANK_CONSTANT + 2)),
        3: pytest.approx(LEAST_SHARE / (RANK_CONSTANT + 3)),
        4: pytest.approx(LEAST_SHARE / (RANK_CONSTANT + 4)),
    }
    assert list(fused([Ranking({1: 0.5, 2: 0.45}), Ranking({3: 9.0, 2: 8.0, 1: 0.5})])) == [2, 1, 3]
    assert list(fused([Ranking({1: -0.1, 2: -0.2})])) == [1, 2], "where nothing is near, ranks are all there is"


def test_neighbours_join_the_better_one_and_the_others_move_up() -> None:
    hits = hits_from([ranked(4, 0.9), ranked(9, 0.8), ranked(5, 0.7), ranked(3, 0.6), ranked(1, 0.5)], 3)
    assert [hit.passage.chunk_id for hit in hits] == ["d.3-5", "d.9", "d.1"]
    first = hits[0]
    assert (first.score, first.vector_score, first.text_score) == (0.9, 0.45, None)
    assert first.passage.text == "d" * 10 + "\n" + "e" * 10 + "\n" + "f" * 10
    assert (first.passage.start, first.passage.end) == (33, 65)
    assert (first.passage.first_page, first.passage.last_page) == (3, 5)
    assert len(first.passage.text) == first.passage.end - first.passage.start


def test_groups_that_come_to_touch_become_one() -> None:
    hits = hits_from([ranked(1, 0.9), ranked(3, 0.8), ranked(2, 0.7)], 5)
    assert [hit.passage.chunk_id for hit in hits] == ["d.1-3"]


def test_what_is_far_apart_or_in_another_document_stays_apart() -> None:
    wide = [ranked(1, 0.9, gap=MOST_GAP + 1), ranked(2, 0.8, gap=MOST_GAP + 1)]
    assert len(hits_from(wide, 5)) == 2
    assert len(hits_from([ranked(1, 0.9), ranked(2, 0.8, document="e")], 5)) == 2


def test_no_hit_grows_without_bound() -> None:
    hits = hits_from([ranked(number, 1 - number / 100) for number in range(10)], 10)
    assert max(hit.passage.text.count("\n") + 1 for hit in hits) == MOST_MERGED
    assert sum(hit.passage.text.count("\n") + 1 for hit in hits) == 10


def test_passages_that_overlap_have_what_they_share_once() -> None:
    first = Passage("d.0", "d", "n", "one two", ("A", "B"), 1, 1, 0, 7)
    second = Passage("d.1", "d", "n", "two three", ("A", "C"), 1, 2, 4, 13)
    both = merged([first, second], ChunkId("d", 0, 1))
    assert (both.text, both.start, both.end, both.headings) == ("one two three", 0, 13, ("A",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file-a.0", ChunkId("file-a", 0, 0)),
        ("file-a.3-5", ChunkId("file-a", 3, 5)),
        ("a.b.7", ChunkId("a.b", 7, 7)),
        ("file-a.5-3", None),
        ("file-a.0-100", None),
        ("file-a", None),
        ("file-a.-1", None),
        ("file-a.1e3", None),
        ("", None),
    ],
)
def test_ids_of_passages_are_read_as_they_are_written(text: str, expected: ChunkId | None) -> None:
    assert ChunkId.parse(text) == expected
    if expected is not None:
        assert str(expected) == text
