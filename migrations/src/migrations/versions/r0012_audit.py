"""The audit log"""

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Filled in with what it is for."""
