"""From samples to figures and their table."""

from __future__ import annotations

import math

import pytest

from loadtest.figures import Figures, Round, percentile, summarise
from loadtest.generator import Sample
from loadtest.report import Report, columns, compared, platform_us, table


def sample(ttft_s: float, whole_s: float, *, text: str = "ok", lost: str = "", tokens: int = 10) -> Sample:
    return Sample(ttft_s, whole_s, tokens, tokens // 2, 3, text, lost)


def figures(way: str, ttft_s: float, cpu: dict[str, float], wall_s: float = 1.0) -> Figures:
    return summarise(way, "at once", 1, [Round(wall_s, [sample(ttft_s, 1.0)], cpu)], text="ok")


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 3), (0.8, 4), (0.95, 5), (1.0, 5)])
def test_a_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile([5, 3, 1, 4, 2], share) == expected


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


def test_figures_are_medians_over_rounds_and_cpu_is_shared_among_all_tokens() -> None:
    rounds = [
        Round(1.0, [sample(0.010, 1.0), sample(0.030, 2.0)], {"edge": 0.002}, others_cpu_s=0.5),
        Round(2.0, [sample(0.020, 1.0), sample(0.050, 1.0)], {"edge": 0.004}, others_cpu_s=0.0),
        Round(4.0, [sample(0.011, 1.0), sample(0.900, 9.0)], {"edge": 0.006}, others_cpu_s=0.4),
    ]
    found = summarise("straight", "at once", 2, rounds, text="ok")
    assert found.ttft_p50_ms == pytest.approx(11)
    assert found.ttft_p95_ms == pytest.approx(50)
    assert found.whole_max_ms == pytest.approx(2000)
    assert found.slowest_to_median == pytest.approx(9)
    assert found.tokens_per_s == pytest.approx(10)
    assert (found.tokens, found.pieces, found.lost) == (60, 30, 0)
    assert found.cpu_s_per_1000_tokens == {"edge": pytest.approx(0.2)}
    assert found.other_cores == pytest.approx(0.1)


def test_lost_streams_and_wrong_texts_count_as_lost_and_not_as_fast() -> None:
    samples = [sample(0.01, 1.0), sample(0.0, 0.1, lost="reset", tokens=0), sample(0.0, 0.1, text="no", tokens=0)]
    found = summarise("straight", "at once", 3, [Round(1.0, samples, {})], text="ok")
    assert found.lost == 2
    assert found.reasons == ["reset", "wrong text"]
    assert found.ttft_p50_ms == pytest.approx(10)


def test_a_round_in_which_everything_is_lost_gives_no_figures_and_no_crash() -> None:
    found = summarise("straight", "at once", 1, [Round(1.0, [sample(0, 0, lost="x", tokens=0)], {})], text="ok")
    assert found.lost == 1
    assert math.isnan(found.ttft_p50_ms)
    assert "straight" in table(Report({}, figures=[found]))


def test_the_platform_is_compared_with_the_straight_way_at_the_same_number_of_streams() -> None:
    straight = figures("straight", 0.020, {"model server": 0.1})
    through = figures("through, chat", 0.025, {"edge": 0.001, "agent_fn": 0.002, "valkey": 0.0005}, wall_s=1.25)
    ratio = compared([straight, through], through)
    assert ratio["added_ttft_p50_ms"] == pytest.approx(5)
    assert ratio["token_rate"] == pytest.approx(0.8)
    assert platform_us(through) == pytest.approx(350)
    text = table(Report({}, figures=[straight, through]))
    assert "+5.0" in text
    assert "80.0%" in text
    assert "350 us/token" in text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([["a", "bb"], ["ccc", "d"]]) == "  a  bb\n-------\nccc   d"
