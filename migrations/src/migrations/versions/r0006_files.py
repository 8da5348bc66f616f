"""Files of tenants: which originals are kept, and how far each one's ingestion is"""

from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = """
create table files (
    tenant_id text not null,
    id text not null,
    -- Who has uploaded it, for the calls that ingest it.
    user_id text not null,
    name text not null,
    purpose text not null default '',
    size_bytes bigint not null default 0,
    -- Lower-case hex. Empty while the bytes still come.
    sha256 text not null default '',
    metadata jsonb not null default '{}',
    -- A deleted file is hidden at once; its row goes when its document and its original are gone.
    status text not null default 'uploading',
    -- Why it could not be processed: a sentence for people.
    error text not null default '',
    -- How far its ingestion is.
    phase smallint not null default 0,
    done integer not null default 0,
    total integer not null default 0,
    media_type text not null default '',
    page_count integer not null default 0,
    chunk_count integer not null default 0,
    -- The document with its content, which may be an older one.
    document_id text not null default '',
    -- The replica that works on it, until due_at. Null: nobody, and from due_at on somebody should.
    owner text,
    due_at timestamptz not null default now(),
    -- Attempts in a row that failed, and those of them that broke off in the middle without having got further.
    failures integer not null default 0,
    breaks integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    constraint files_status check (status in ('uploading', 'uploaded', 'processed', 'error', 'deleted')),
    constraint files_content check (status in ('uploading', 'deleted') or sha256 <> '')
);
create unique index files_same_content on files (tenant_id, sha256) where status in ('uploaded', 'processed');
create index files_newest on files (tenant_id, created_at desc, id desc);
create index files_open on files (tenant_id, due_at) where status in ('uploading', 'uploaded', 'deleted');
create index files_owned on files (tenant_id, id) where owner is not null;

alter table files enable row level security;
alter table files force row level security;
create policy tenant_rows on files
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));

-- Work over all tenants. The owner, too, sees rows of no tenant; in these functions, and only there, he sees them all.
create policy maintenance on files to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

-- Gives the claimer at most `batch` files that somebody should work on, for as long as the lease lasts. Tenants take
-- turns: who has the fewest in work comes first.
create function claim_files(claimer text, lease interval, batch integer)
returns table (tenant_id text, id text)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    moment timestamptz := clock_timestamp();
    tenant text;
    candidate record;
    found_row record;
    names text[] := '{}';
    ids text[] := '{}';
    turns bigint[] := '{}';
    claimed integer := 0;
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    -- Few steps along an index for each tenant, however many files it has, and whatever the planner knows of them yet.
    perform set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_seqscan', 'off', true);
    loop
        select f.tenant_id into tenant from files f
            where f.status in ('uploading', 'uploaded', 'deleted') and (tenant is null or f.tenant_id > tenant)
            order by f.tenant_id limit 1;
        exit when not found;
        for candidate in
            select f.id, row_number() over () + (
                select count(*) from files o
                where o.owner is not null and o.tenant_id = tenant and o.due_at > moment
            ) as turn
            from (
                select d.id from files d
                where d.tenant_id = tenant and d.status in ('uploading', 'uploaded', 'deleted') and d.due_at <= moment
                order by d.tenant_id, d.due_at limit batch
            ) as f
        loop
            names := names || tenant;
            ids := ids || candidate.id;
            turns := turns || candidate.turn;
        end loop;
    end loop;
    for candidate in select * from unnest(names, ids, turns) as c (name, id, turn) order by c.turn, c.id loop
        exit when claimed >= batch;
        -- Only by its key, so that no other index can seem as good.
        select f.status, f.due_at into found_row from files f
            where f.tenant_id = candidate.name and f.id = candidate.id for update skip locked;
        if found and found_row.due_at <= moment and found_row.status in ('uploading', 'uploaded', 'deleted') then
            update files f set owner = claimer, due_at = moment + lease
                where f.tenant_id = candidate.name and f.id = candidate.id;
            claimed := claimed + 1;
            tenant_id := candidate.name;
            id := candidate.id;
            return next;
        end if;
    end loop;
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Lengthens the claimer's leases on these files. Returns those that are still the claimer's, and wanted.
create function hold_files(claimer text, lease interval, wanted text[]) returns table (id text)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    return query
        update files f set due_at = clock_timestamp() + lease
        where f.id = any(wanted) and f.owner = claimer and f.status in ('uploading', 'uploaded')
        returning f.id;
    perform set_config('dormouse.maintenance', '', true);
end $$;

revoke all on function claim_files, hold_files from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
