"""Prometheus metrics of the run engine."""

from prometheus_client import Counter, Gauge, Histogram

RESUME_AVAILABLE = Gauge(
    "dormouse_resume_available", "1 while run logs are in Redis, 0 while runs stream without resume"
)
RESUME_AVAILABLE.set(1)
LIVE_RUNS = Gauge("dormouse_live_runs", "Runs that this replica owns and that have not ended")
RUNS = Counter("dormouse_runs", "Runs that ended here", ["agent", "status"])
ATTEMPTS = Counter("dormouse_run_attempts", "Calls of Execute, by what ended them", ["outcome"])
TAKEOVERS = Counter("dormouse_run_takeovers", "Runs taken over from a replica that is gone", ["outcome"])
APPEND_SECONDS = Histogram(
    "dormouse_log_append_seconds",
    "One append to Redis, for all runs that had something to say",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
)
APPEND_ENTRIES = Histogram(
    "dormouse_log_append_entries", "Log entries in one append", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
RESUMPTIONS = Counter(
    "dormouse_run_resumptions",
    "Interrupted runs that were answered or cancelled, or gone on with after a death",
    ["how"],
)
