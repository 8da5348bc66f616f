"""Prometheus metrics of the policy."""

from prometheus_client import Counter

MATCHES = Counter(
    "dormouse_edge_filter_matches", "What filters have found, by what was done.", ["filter", "action", "place"]
)
NARROWED = Counter("dormouse_edge_runs_narrowed", "Runs whose tools were narrowed to what their credential grants.")
