"""Prometheus numbers of searches and ingestions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dormouse_runtime.errors import DormouseError
from dormouse_runtime.metrics import Histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_SEARCH_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 15.0)
_INGESTION_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1200.0)
_OK: Final = "ok"
_NOT_BEGUN: Final = "none"


@dataclass(slots=True)
class SearchNumbers:
    """What a search tells while it is measured. mode: the one that was used."""

    mode: str = _NOT_BEGUN
    left_out: tuple[str, ...] = ()


class WorkMeter:
    """Counts all searches and ingestions of a process; a Prometheus collector."""

    def __init__(self) -> None:
        self._searches: Counter[tuple[str, str]] = Counter()
        self._search_seconds: dict[str, Histogram] = {}
        self._left_out: Counter[str] = Counter()
        self._ingestions: Counter[str] = Counter()
        self._ingestion_seconds = Histogram(_INGESTION_BUCKETS)
        self._under_way = 0
        self._passages = 0

    @contextmanager
    def search(self) -> Iterator[SearchNumbers]:
        """Around one search."""
        numbers, began = SearchNumbers(), time.perf_counter()
        outcome = "cancelled"
        try:
            yield numbers
            outcome = _OK
        except DormouseError as error:
            outcome = error.reason_name.lower()
            raise
        finally:
            self._searches[numbers.mode, outcome] += 1
            if outcome == _OK:
                seconds = self._search_seconds.setdefault(numbers.mode, Histogram(_SEARCH_BUCKETS))
                seconds.observe(time.perf_counter() - began)
            self._left_out.update(numbers.left_out)

    @contextmanager
    def ingestion(self) -> Iterator[None]:
        """Around the work on one document, from its bytes to its being seen."""
        began, outcome = time.perf_counter(), "cancelled"
        self._under_way += 1
        try:
            yield
            outcome = _OK
        except DormouseError as error:
            outcome = error.reason_name.lower()
            raise
        finally:
            self._under_way -= 1
            self._ingestions[outcome] += 1
            if outcome == _OK:
                self._ingestion_seconds.observe(time.perf_counter() - began)

    def stored(self, passages: int) -> None:
        """Passages that have got their embeddings."""
        self._passages += passages

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks a collector for."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        searches = CounterMetricFamily(
            "dormouse_searches", "Searches, by the mode that was used and how they ended.", labels=["mode", "outcome"]
        )
        for (mode, outcome), count in self._searches.items():
            searches.add_metric([mode, outcome], count)
        seconds = HistogramMetricFamily("dormouse_search_seconds", "How long searches took.", labels=["mode"])
        for mode, histogram in self._search_seconds.items():
            seconds.add_metric([mode], *histogram.exported())
        left_out = CounterMetricFamily(
            "dormouse_search_left_out", "Parts of searches that failed or were too slow.", labels=["part"]
        )
        for part, count in self._left_out.items():
            left_out.add_metric([part], count)
        ingestions = CounterMetricFamily(
            "dormouse_ingestions", "Work on documents that has ended, by how.", labels=["outcome"]
        )
        for outcome, count in self._ingestions.items():
            ingestions.add_metric([outcome], count)
        ingestion_seconds = HistogramMetricFamily(
            "dormouse_ingestion_seconds", "From a file's bytes to its being seen by searches."
        )
        ingestion_seconds.add_metric([], *self._ingestion_seconds.exported())
        under_way = GaugeMetricFamily("dormouse_ingestions_under_way", "Documents that are worked on now.")
        under_way.add_metric([], self._under_way)
        passages = CounterMetricFamily("dormouse_ingested_passages", "Passages stored with their embeddings.")
        passages.add_metric([], self._passages)
        yield from (searches, seconds, left_out, ingestions, ingestion_seconds, under_way, passages)
