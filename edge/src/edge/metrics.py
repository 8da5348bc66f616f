"""Prometheus metrics of the HTTP side."""

import time

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

REQUESTS = Counter("dormouse_edge_requests", "HTTP requests that have been answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "dormouse_edge_request_seconds",
    "From the arrival of a request to the end of its answer; for streams that is their whole length.",
    ["method", "route"],
    buckets=_SECONDS,
)
OPEN_STREAMS = Gauge("dormouse_edge_open_streams", "Event streams that are being sent.", ["surface"])
STREAMS = Counter("dormouse_edge_streams", "Event streams that have ended, by how.", ["surface", "end"])
FIRST_TOKEN_SECONDS = Histogram(
    "dormouse_edge_time_to_first_token_seconds",
    "From the arrival of a request to the first thing its model wrote.",
    ["surface"],
    buckets=_SECONDS,
)
WAKE_SECONDS = Histogram(
    "dormouse_edge_wake_seconds",
    "From the edge's asking to the answer of a function that a run was going to need.",
    ["function"],
    buckets=(0.01, 0.05, 0.2, 0.5, 1, 2, 3, 5, 10, 30, 60, 120),
)
MODEL_DEMAND = Gauge(
    "dormouse_edge_model_demand",
    "Runs, embeddings, searches and files in work here that may need a model; 1 for half a minute after the last.",
)
KEY_LOOKUPS = Counter(
    "dormouse_edge_key_lookups", "API keys that were checked, by where the answer came from.", ["source"]
)
TOKEN_CHECKS = Counter(
    "dormouse_edge_token_checks", "Access tokens and issuers' tokens that were checked.", ["kind", "outcome"]
)
OIDC_FETCHES = Counter("dormouse_edge_oidc_fetches", "Questions for an issuer's keys.", ["issuer", "outcome"])
LOGINS = Counter("dormouse_edge_logins", "Attempts to log in or refresh a session.", ["kind", "outcome"])

CUT_OFF = Counter(
    "dormouse_edge_cut_off_connections", "Connections that were ended for what their client did.", ["why"]
)
AUDIT_LOST = Counter(
    "dormouse_edge_audit_entries_lost", "Things that were done and could not be noted in the audit log.", ["action"]
)
CERTIFICATE_EXPIRES = Gauge(
    "dormouse_edge_certificate_expires_timestamp_seconds", "When our own TLS certificate expires; 0 without one."
)

UPLOADS = Counter("dormouse_edge_uploads", "Files that came, by what has come of them.", ["outcome"])
UPLOADED_BYTES = Counter("dormouse_edge_uploaded_bytes", "Bytes of files that are kept now.")
INGESTIONS = Counter("dormouse_edge_ingestions", "Attempts to have a file ingested, by how they ended.", ["outcome"])
FILES_IN_WORK = Gauge("dormouse_edge_files_in_work", "Files that this replica has ingested or clears away now.")
SEARCHES = Counter("dormouse_edge_searches", "Searches that were answered, by the mode that was used.", ["mode"])


class StreamMeter:
    """Counts one event stream: open until `end`, and how long it took to say something."""

    __slots__ = ("_ended", "_started", "_surface", "has_content")

    def __init__(self, surface: str, started: float) -> None:
        """`started` is when the request arrived, by the performance counter."""
        self._surface = surface
        self._started = started
        self._ended = False
        self.has_content = False
        OPEN_STREAMS.labels(surface).inc()

    def first_content(self) -> None:
        """The first thing the model wrote is on its way."""
        self.has_content = True
        FIRST_TOKEN_SECONDS.labels(self._surface).observe(time.perf_counter() - self._started)

    def end(self, how: str) -> None:
        """The stream is over; only the first word on how it ended counts."""
        if not self._ended:
            self._ended = True
            OPEN_STREAMS.labels(self._surface).dec()
            STREAMS.labels(self._surface, how).inc()
