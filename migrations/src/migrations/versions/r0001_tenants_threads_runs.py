"""Tenants, API keys, threads and runs, with row-level security"""

from alembic import op

revision = "0001"
down_revision = None

SCHEMA = """
create table tenants (
    id text primary key check (id <> ''),
    name text not null,
    created_at timestamptz not null default now()
);

-- Looked up by mac before the tenant is known, hence no row-level security here.
create table api_keys (
    id text primary key,
    tenant_id text not null references tenants (id) on delete cascade,
    user_id text not null,
    name text not null,
    prefix text not null,
    mac bytea not null unique,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);
create index api_keys_tenant on api_keys (tenant_id);

create table threads (
    id text primary key,
    tenant_id text not null,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (tenant_id, id)
);
create index threads_newest on threads (tenant_id, created_at desc, id);

create table runs (
    id text primary key,
    tenant_id text not null,
    thread_id text,
    agent_id text not null,
    model text not null default '',
    status text not null,
    request bytea not null,
    on_disconnect text not null default 'cancel',
    multitask_strategy text not null default 'reject',
    base_checkpoint text,
    -- Messages at the start of the request that come from an interrupted run before it.
    carried integer not null default 0,
    -- What a cancelled run had said, for the run that goes on after it.
    partial bytea,
    cancel_cause integer,
    error jsonb,
    usage jsonb,
    finish_reason text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    constraint runs_status check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'interrupted')),
    constraint runs_on_disconnect check (on_disconnect in ('cancel', 'continue')),
    constraint runs_multitask_strategy check (multitask_strategy in ('reject', 'enqueue', 'interrupt', 'rollback')),
    -- With the tenant in it, a run can only belong to a thread of its own tenant.
    constraint runs_thread foreign key (tenant_id, thread_id) references threads (tenant_id, id) on delete cascade
);
create index runs_newest on runs (tenant_id, created_at desc, id);
create index runs_of_thread on runs (thread_id, created_at desc, id) where thread_id is not null;
-- The last word on who holds a thread.
create unique index runs_one_running on runs (thread_id) where status = 'running';
"""

# Without the setting, current_setting gives null (or '' later in the session): no row matches.
SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table in ("threads", "runs"):
        op.execute(SECURITY.format(table=table))
