"""The database schema of Dormouse, as Alembic revisions, and the command that applies them."""
