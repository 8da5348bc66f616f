"""The price list: which price counts when, what it comes to, and what is wrong with a file."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from edge.spending.model import Period, Use, Work
from edge.spending.prices import PricesError, load_prices

LIST = """
currency: EUR
prices:
  - since: 2026-06-01
    models:
      small: {input: 0.5, output: 1.5}
      "*": {input: 3}
  - since: 2026-01-01
    models:
      small: {input: 0.25, output: 1, cached: 0.05}
      vectors: {input: 9, embedding: 0.02}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(LIST)
    return path


def test_the_prices_of_the_day_count(written: Path) -> None:
    prices = load_prices(written)
    use = Use("small", 1_000_000, 100_000)
    assert prices.currency == "EUR"
    assert prices.cost(use, Work.RUN, date(2025, 12, 31)) == 0
    assert prices.cost(use, Work.RUN, date(2026, 5, 31)) == Decimal("0.35")
    assert prices.cost(use, Work.RUN, date(2026, 6, 1)) == Decimal("0.65")


def test_a_model_is_found_with_and_without_its_tag_and_else_pays_what_all_pay(written: Path) -> None:
    prices, day = load_prices(written), date(2026, 7, 1)
    assert prices.cost(Use("small:latest", 1_000_000), Work.RUN, day) == Decimal("0.5")
    assert prices.cost(Use("other", 1_000_000, 5), Work.RUN, day) == 3
    assert prices.cost(Use("other", 1_000_000), Work.RUN, date(2026, 2, 1)) == 0


def test_cached_prompts_and_embeddings_have_prices_of_their_own(written: Path) -> None:
    prices, day = load_prices(written), date(2026, 2, 1)
    assert prices.cost(Use("small", 1_000_000, cached_tokens=400_000), Work.RUN, day) == Decimal("0.17")
    assert prices.cost(Use("vectors", 1_000_000), Work.EMBEDDING, day) == Decimal("0.02")
    assert prices.cost(Use("vectors", 1), Work.INGESTION, day) == Decimal("0.00000002")


def test_without_a_list_everything_is_free() -> None:
    assert load_prices(None).cost(Use("small", 10**9, 10**9), Work.RUN, date(2026, 7, 1)) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prices: [", "YAML"),
        ("prices: []", "prices"),
        ("prices: [{since: soon, models: {}}]", "prices.0.since"),
        ("prices: [{since: 2026-01-01, models: {a: {input: -1}}}]", "prices.0.models.a.input"),
        ("prices: [{since: 2026-01-01, models: {a: {inputs: 1}}}]", "prices.0.models.a.inputs"),
        ("currency: euro\nprices: [{since: 2026-01-01, models: {}}]", "currency"),
        ("prices: [{since: 2026-01-01, models: {}}, {since: 2026-01-01, models: {}}]", "same day"),
    ],
)
def test_a_list_that_cannot_be_used_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(PricesError, match=told):
        load_prices(path)


def test_periods_end_at_midnight_and_with_the_month() -> None:
    assert f"{Period.DAY.ends_at(date(2026, 12, 31)):%Y-%m-%d}" == "2027-01-01"
    assert f"{Period.MONTH.ends_at(date(2026, 12, 31)):%Y-%m-%d}" == "2027-01-01"
    assert Period.MONTH.starts_on(date(2026, 2, 28)) == date(2026, 2, 1)
