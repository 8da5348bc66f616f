"""Prometheus metrics of the limits."""

from prometheus_client import Counter, Gauge, Histogram

SHARED = Gauge(
    "dormouse_limits_shared", "1 while limits are counted for all replicas, 0 while each replica keeps its share alone"
)
SHARED.set(1)
REFUSALS = Counter(
    "dormouse_limit_refusals", "Requests that were refused because a share is used up", ["limit", "subject"]
)
CHECK_SECONDS = Histogram(
    "dormouse_limit_check_seconds",
    "One question to Redis about all limits of a request",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
)
EXECUTED_RUNS = Gauge("dormouse_run_queue_executed", "Runs that this replica executes, as its queue counts them")
WAITING_RUNS = Gauge("dormouse_run_queue_waiting", "Runs that wait here for others to end")
SHED_RUNS = Counter("dormouse_run_queue_refusals", "Runs that were refused because the queue was full", ["plan"])
WAIT_SECONDS = Histogram(
    "dormouse_run_queue_wait_seconds",
    "How long runs waited for others to end, of those that had to",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
