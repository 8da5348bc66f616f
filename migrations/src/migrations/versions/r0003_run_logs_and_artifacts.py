"""Logs of stored runs, what an interrupted run needs to go on, and artifacts with their versions"""

from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = """
alter table runs
    add column user_id text not null default '',
    add column request_id text not null default '',
    add column may_replace boolean not null default true,
    -- Who executes the run: a later owner has a higher epoch, and only the latest may write how the run ended.
    add column epoch bigint not null default 1,
    add column owner text not null default '',
    -- When its latest answers came. Null: it never waited for any.
    add column resumed_at timestamptz,
    -- The open questions of an interrupted run: a serialized RunInterrupted.
    add column interrupts bytea;
create index runs_resumed on runs (resumed_at) where status = 'running' and resumed_at is not null;

-- The whole log of a run that has ended or waits for answers.
create table run_logs (
    run_id text primary key references runs (id) on delete cascade,
    tenant_id text not null,
    last_seq bigint not null,
    -- A new attempt needs what came after this event.
    checkpoint_seq bigint not null default 0,
    -- zlib streams, one behind the other; each holds serialized RunLogEntry messages, one behind the other.
    data bytea not null,
    kept_at timestamptz not null default now()
);
alter table run_logs alter column data set storage external;
create index run_logs_oldest on run_logs (kept_at);

create table artifacts (
    id text primary key,
    tenant_id text not null,
    thread_id text,
    -- The latest.
    version integer not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint artifacts_thread foreign key (tenant_id, thread_id) references threads (tenant_id, id) on delete cascade
);
create index artifacts_newest on artifacts (tenant_id, created_at desc, id);
create index artifacts_of_thread on artifacts (thread_id) where thread_id is not null;

create table artifact_versions (
    artifact_id text not null references artifacts (id) on delete cascade,
    version integer not null check (version > 0),
    tenant_id text not null,
    -- Tells contents apart that have had the same number, one after the other.
    revision bigint generated always as identity,
    title text not null,
    media_type text not null,
    content text not null,
    -- The run that wrote it. Null: a person restored it.
    run_id text,
    restored_from integer,
    created_at timestamptz not null default now(),
    primary key (artifact_id, version)
);
create index artifact_versions_of_run on artifact_versions (run_id) where run_id is not null;
"""

SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
"""

# Work over all tenants. The owner of the tables sees the rows of no tenant, but in these functions those of all. They
# tell ids and numbers, never what a tenant has written.
MAINTENANCE = """
create policy maintenance on runs to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');
create policy maintenance on run_logs to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

-- Drops at most `batch` logs that were kept before `before`, oldest first, and returns how many. A run that still waits
-- for answers fails with that: nobody can answer it any more.
create function prune_run_logs(before timestamptz, batch integer, error jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    old text[];
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    select array_agg(run_id) into old from (
        select run_id from run_logs where kept_at < before order by kept_at limit batch for update skip locked
    ) as oldest;
    update runs set status = 'failed', error = prune_run_logs.error, interrupts = null, finished_at = clock_timestamp()
        where id = any (old) and status = 'interrupted';
    delete from run_logs where run_id = any (old);
    perform set_config('dormouse.maintenance', '', true);
    return coalesce(cardinality(old), 0);
end $$;

-- Runs that have got answers before `before` and have not ended since: whoever took the answers may be gone.
create function resumed_runs(before timestamptz, batch integer)
returns table (run_id text, tenant_id text, epoch bigint, owner text)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    return query select r.id, r.tenant_id, r.epoch, r.owner from runs r
        where r.status = 'running' and r.resumed_at < before order by r.resumed_at limit batch;
    perform set_config('dormouse.maintenance', '', true);
end $$;

revoke all on function prune_run_logs, resumed_runs from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table in ("run_logs", "artifacts", "artifact_versions"):
        op.execute(SECURITY.format(table=table))
    op.execute(MAINTENANCE)
