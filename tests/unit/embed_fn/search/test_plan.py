"""How the nearest passages are found follows from exact counts."""

import pytest
from embed_fn.search.plan import Selection, Way, way_for
from embed_fn.store.settling import COMPARED


@pytest.mark.parametrize(
    ("selection", "way"),
    [
        (Selection(1, 0), Way.ALL),
        (Selection(COMPARED, 0), Way.ALL),
        (Selection(COMPARED + 1, 0), Way.INDEX),
        (Selection(5_000_000, 10_000), Way.INDEX),
        (Selection(100, 1_000_000), Way.DOCUMENTS),
        (Selection(100, 50), Way.ALL),
        (Selection(100, 0, is_filtered=True), Way.DOCUMENTS),
        (Selection(COMPARED + 1, 0, is_filtered=True), Way.INDEX),
        (Selection(10_000, 0, indexed=100_000), Way.ALL),
        (Selection(10_000, 0, is_filtered=True, indexed=100_000), Way.DOCUMENTS),
        (Selection(30_000, 0, indexed=100_000), Way.INDEX),
        (Selection(30_000, 0, indexed=1_000_000), Way.ALL),
        (Selection(100_000, 0, indexed=1_000_000), Way.INDEX),
    ],
)
def test_little_is_compared_and_much_is_asked_of_the_index(selection: Selection, way: Way) -> None:
    assert way_for(selection) == way
