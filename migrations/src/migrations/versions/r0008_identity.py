"""Users, roles, plans and sessions"""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Filled in with what it is for."""
