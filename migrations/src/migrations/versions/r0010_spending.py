"""Budgets and the ledger of what runs cost"""

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Filled in with what it is for."""
