"""The tables of LangGraph's Postgres checkpointer (langgraph-checkpoint-postgres 3.2)

They stand as if the library's own setup() had made them, its record of migrations included, so that a service never
runs DDL. A test compares them with what the installed version would make; when it grows, add a revision here.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

LIBRARY_VERSION = 9

SCHEMA = """
create table checkpoint_migrations (v integer primary key);

create table checkpoints (
    thread_id text not null,
    checkpoint_ns text not null default '',
    checkpoint_id text not null,
    parent_checkpoint_id text,
    type text,
    checkpoint jsonb not null,
    metadata jsonb not null default '{}',
    primary key (thread_id, checkpoint_ns, checkpoint_id)
);
create index checkpoints_thread_id_idx on checkpoints (thread_id);

create table checkpoint_blobs (
    thread_id text not null,
    checkpoint_ns text not null default '',
    channel text not null,
    version text not null,
    type text not null,
    blob bytea,
    primary key (thread_id, checkpoint_ns, channel, version)
);
create index checkpoint_blobs_thread_id_idx on checkpoint_blobs (thread_id);

create table checkpoint_writes (
    thread_id text not null,
    checkpoint_ns text not null default '',
    checkpoint_id text not null,
    task_id text not null,
    idx integer not null,
    channel text not null,
    type text,
    blob bytea not null,
    task_path text not null default '',
    primary key (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
);
create index checkpoint_writes_thread_id_idx on checkpoint_writes (thread_id);
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    op.execute(f"insert into checkpoint_migrations select generate_series(0, {LIBRARY_VERSION})")
