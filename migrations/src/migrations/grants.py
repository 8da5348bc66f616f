"""What the application role may do. Granted after every upgrade, so that a role which came later gets it too."""

import logging

import psycopg
from psycopg import sql

log = logging.getLogger("migrations")

WRITABLE = (
    *("threads", "runs", "run_logs", "artifacts", "artifact_versions"),
    *("checkpoints", "checkpoint_blobs", "checkpoint_writes", "tool_calls"),
    *("libraries", "documents", "chunks", "embeddings", "embedding_cache", "search_outcomes"),
    "files",
    *("users", "invitations", "sessions", "signing_keys"),
    *("budgets", "spent", "reservations", "charges", "usage_days"),
    "kept_requests",
)
READABLE = (
    *("tenants", "checkpoint_migrations", "alembic_version", "embedding_models", "word_counts"),
    "audit_entries",
)
# What is over is marked as such and stays.
CHANGEABLE = ("api_keys",)
CALLABLE = (
    *("prune_run_logs", "resumed_runs", "prune_tool_calls", "ensure_embedding_model", "documents_to_clear"),
    *("prune_embedding_cache", "prune_search_outcomes", "match_words", "delete_chunks"),
    *("library_to_search", "documents_to_search", "nearest_passages", "nearest_by_index", "matching_passages"),
    *("found_passages", "expire_files", "file_store_of"),
    *("claim_files", "hold_files", "find_api_key", "note_api_key_uses", "renew_api_key_mac"),
    *("append_audit_entry", "add_tenant"),
    *("lock_spending", "budgets_of", "add_to_spent", "reserve_spending", "free_reservations", "settle_spending"),
    *("hold_reservations", "left_reservations"),
    *("claim_request", "hold_requests", "prune_requests"),
)


def grant(connection: psycopg.Connection, role: str) -> None:
    """Let `role` use the tables. Says so where there is no such role; does nothing where it is the owner itself."""
    row = connection.execute(
        "select exists (select from pg_roles where rolname = %s), current_user = %s", [role, role]
    ).fetchone()
    exists, is_owner = row or (False, False)
    if is_owner:
        return
    if not exists:
        log.info("there is no role %s: nothing was granted, the services can only connect as the owner", role)
        return
    name = sql.Identifier(role)
    for rights, tables in (
        ("select, insert, update, delete", WRITABLE),
        ("select, insert, update", CHANGEABLE),
        ("select", READABLE),
    ):
        statement = sql.SQL("grant {} on {} to {}")
        listed = sql.SQL(", ").join(sql.Identifier(table) for table in tables)
        connection.execute(statement.format(sql.SQL(rights), listed, name))
    functions = sql.SQL(", ").join(sql.Identifier(function) for function in CALLABLE)
    connection.execute(sql.SQL("grant execute on function {} to {}").format(functions, name))
    connection.execute(sql.SQL("grant usage on schema public to {}").format(name))
