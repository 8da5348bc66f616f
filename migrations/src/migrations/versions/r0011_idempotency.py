"""Answers that are kept for a repeated request"""

from alembic import op

revision = "0011"
down_revision = "0010"

SCHEMA = """
create table kept_requests (
    tenant_id text not null,
    -- Of who asks and of the key that they sent, with the pepper: neither can be read or guessed here.
    digest bytea not null,
    -- Of what they ask for.
    fingerprint bytea not null,
    -- Of a form's contents, where the fingerprint leaves them out.
    content bytea,
    -- The run that answers, where one does.
    run_id text not null,
    -- claimed: a replica answers. running: what the run says is the answer. kept: it is here. unknown: the replica
    -- died.
    state text not null default 'claimed',
    owner text not null,
    held_until timestamptz not null,
    -- Encrypted with the client's key: whoever reads it here cannot.
    answer bytea,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    primary key (tenant_id, digest),
    constraint kept_requests_state check (state in ('claimed', 'running', 'kept', 'unknown')),
    constraint kept_requests_answer check ((state = 'kept') = (answer is not null))
);
create index kept_requests_expiry on kept_requests (expires_at);

alter table kept_requests enable row level security;
alter table kept_requests force row level security;
create policy tenant_rows on kept_requests
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));

-- Claims a request for who asks first; everybody else is told how it stands. One statement is one round trip, under
-- row-level security. digests: under each pepper that counts, the present one's first. repeats: what to do with one
-- whose replica has died before it was answered, and which no run answers: 'again' or 'unknown'.
-- outcome: new, again (ours to answer), busy, running, kept, unknown, other (it asks for something else).
create function claim_request(
    tenant text, digests bytea[], asked bytea, new_run_id text, claimer text, lease interval, keep interval,
    repeats text
) returns table (
    outcome text, digest bytea, run_id text, created_at timestamptz, content bytea, answer bytea
)
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
#variable_conflict use_column
declare
    moment timestamptz := clock_timestamp();
    known kept_requests;
begin
    perform set_config('dormouse.tenant', tenant, true);
    loop
        select k.* into known from kept_requests k
            where k.tenant_id = tenant and k.digest = any (digests) order by k.created_at limit 1 for update;
        if not found then
            insert into kept_requests as k
                (tenant_id, digest, fingerprint, run_id, owner, held_until, created_at, expires_at)
                values (tenant, digests[1], asked, new_run_id, claimer, moment + lease, moment, moment + keep)
                on conflict do nothing returning k.* into known;
            continue when not found;
            return query select 'new', known.digest, known.run_id, known.created_at, known.content, known.answer;
            return;
        end if;
        exit when known.expires_at > moment;
        delete from kept_requests k where k.tenant_id = tenant and k.digest = known.digest;
    end loop;
    if known.fingerprint <> asked then
        outcome := 'other';
    elsif known.state <> 'claimed' then
        outcome := known.state;
    elsif known.held_until > moment then
        outcome := 'busy';
    elsif exists (select from runs r where r.id = known.run_id) then
        outcome := 'running';
        update kept_requests k set state = 'running' where k.tenant_id = tenant and k.digest = known.digest;
    elsif repeats = 'again' then
        outcome := 'again';
        update kept_requests k set owner = claimer, held_until = moment + lease
            where k.tenant_id = tenant and k.digest = known.digest;
    else
        outcome := 'unknown';
        update kept_requests k set state = 'unknown' where k.tenant_id = tenant and k.digest = known.digest;
    end if;
    return query select outcome, known.digest, known.run_id, known.created_at, known.content, known.answer;
end $$;

-- Work over all tenants, which tells numbers only.
create policy maintenance on kept_requests to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

-- The claimer still answers these.
create function hold_requests(claimer text, digests bytea[], lease interval) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    update kept_requests k set held_until = clock_timestamp() + lease
        where k.digest = any (digests) and k.owner = claimer and k.state = 'claimed';
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Drops at most `batch` that have expired, and returns how many.
create function prune_requests(batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    dropped integer;
begin
    perform set_config('dormouse.maintenance', 'on', true);
    delete from kept_requests k where (k.tenant_id, k.digest) in (
        select o.tenant_id, o.digest from kept_requests o where o.expires_at < clock_timestamp()
        order by o.expires_at limit batch for update skip locked
    );
    get diagnostics dropped = row_count;
    perform set_config('dormouse.maintenance', '', true);
    return dropped;
end $$;

revoke all on function claim_request, hold_requests, prune_requests from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
