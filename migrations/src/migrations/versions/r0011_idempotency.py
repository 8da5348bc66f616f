"""Answers that are kept for a repeated request"""

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Filled in with what it is for."""
