"""Tool calls keep the passages that their results quote"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("alter table tool_calls add column sources jsonb not null default '[]'")
