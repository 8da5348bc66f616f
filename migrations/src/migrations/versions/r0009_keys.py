"""API keys with grants, and row-level security under the tables that lacked it"""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Filled in with what it is for."""
