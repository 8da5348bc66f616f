"""The ledger of tool calls with side effects: each runs once"""

from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = """
create table tool_calls (
    tenant_id text not null,
    -- The caller's idempotency key.
    key text not null,
    tool text not null,
    -- SHA-256 of the arguments, their JSON written in one way.
    arguments_hash bytea not null,
    -- The advisory lock that the process which runs the call holds for as long as it lives.
    owner bigint not null,
    status text not null default 'running',
    -- What the model was told.
    content text,
    is_error boolean not null default false,
    is_truncated boolean not null default false,
    outcome_unknown boolean not null default false,
    duration_ms integer not null default 0,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    primary key (tenant_id, key),
    constraint tool_calls_status check (status in ('running', 'finished')),
    constraint tool_calls_finished check ((status = 'finished') = (finished_at is not null and content is not null))
);
create index tool_calls_oldest on tool_calls (created_at);

alter table tool_calls enable row level security;
alter table tool_calls force row level security;
create policy tenant_rows on tool_calls
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));

-- Work over all tenants. The owner, too, sees rows of no tenant; in this function, and only there, he sees them all.
create policy maintenance on tool_calls to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

-- Drops at most `batch` calls that began before `before`, oldest first, and returns how many.
create function prune_tool_calls(before timestamptz, batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    dropped integer;
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    delete from tool_calls where (tenant_id, key) in (
        select tenant_id, key from tool_calls where created_at < before order by created_at limit batch
        for update skip locked
    );
    get diagnostics dropped = row_count;
    perform set_config('dormouse.maintenance', '', true);
    return dropped;
end $$;

revoke all on function prune_tool_calls from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
