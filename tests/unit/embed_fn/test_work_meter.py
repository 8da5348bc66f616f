"""What Prometheus is told of searches and ingestions."""

import pytest
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from embed_fn.work_meter import WorkMeter
from prometheus_client import CollectorRegistry, generate_latest


def told(meter: WorkMeter) -> set[str]:
    registry = CollectorRegistry()
    registry.register(meter)
    return set(generate_latest(registry).decode().splitlines())


def test_searches_are_counted_by_mode_and_end() -> None:
    meter = WorkMeter()
    with meter.search() as numbers:
        numbers.mode, numbers.left_out = "deep", ("reranking",)
    with pytest.raises(DormouseError), meter.search():
        raise DormouseError(error_pb2.ERROR_REASON_DATABASE_UNAVAILABLE, "It is away.")
    assert {
        'dormouse_searches_total{mode="deep",outcome="ok"} 1.0',
        'dormouse_searches_total{mode="none",outcome="database_unavailable"} 1.0',
        'dormouse_search_seconds_count{mode="deep"} 1.0',
        'dormouse_search_left_out_total{part="reranking"} 1.0',
    } <= told(meter)


def test_ingestions_are_counted_while_they_last_and_when_they_end() -> None:
    meter = WorkMeter()
    with meter.ingestion():
        assert "dormouse_ingestions_under_way 1.0" in told(meter)
        meter.stored(7)
    with pytest.raises(DormouseError), meter.ingestion():
        raise DormouseError(error_pb2.ERROR_REASON_INVALID_ARGUMENT, "It is broken.")
    assert {
        "dormouse_ingestions_under_way 0.0",
        'dormouse_ingestions_total{outcome="ok"} 1.0',
        'dormouse_ingestions_total{outcome="invalid_argument"} 1.0',
        "dormouse_ingestion_seconds_count 1.0",
        "dormouse_ingested_passages_total 7.0",
    } <= told(meter)
