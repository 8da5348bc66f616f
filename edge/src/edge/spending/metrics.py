"""Prometheus metrics of budgets and the ledger."""

from prometheus_client import Counter, Gauge, Histogram

CHARGES = Counter("dormouse_charges", "Charges written to the ledger")
CHARGES_WAITING = Gauge("dormouse_charges_waiting", "Charges of this replica that Postgres has not got yet")
CHARGES_DROPPED = Counter("dormouse_charges_dropped", "Charges dropped from memory while Postgres was away too long")
CHARGES_FOUND = Counter("dormouse_charges_found", "Charges that another replica had left in Redis")
RESERVE_SECONDS = Histogram(
    "dormouse_budget_reserve_seconds",
    "Holding something back against a budget",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
RESERVATIONS = Counter("dormouse_budget_reservations", "Answers to reservations", ["outcome"])
RESERVATIONS_FREED = Counter("dormouse_budget_reservations_freed", "Reservations that were left, and freed")
