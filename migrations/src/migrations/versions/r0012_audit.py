"""The audit log: append-only, one chain of hashes a tenant"""

from alembic import op

revision = "0012"
down_revision = "0011"

SCHEMA = """
create table audit_entries (
    -- '*' is the platform's own chain. No foreign key: the log of a tenant outlives it.
    tenant_id text not null,
    -- 1, 2, 3 … without gaps.
    seq bigint not null check (seq > 0),
    -- Never earlier than the one before.
    at timestamptz not null,
    actor text not null,
    key_id text not null,
    action text not null,
    target text not null,
    address text not null,
    request_id text not null,
    -- Canonical JSON, character by character as it was hashed.
    details text not null,
    previous_hash bytea not null,
    hash bytea not null,
    primary key (tenant_id, seq)
);
create index audit_entries_of_actor on audit_entries (tenant_id, actor, seq);
create index audit_entries_of_action on audit_entries (tenant_id, action, seq);
create index audit_entries_by_time on audit_entries (tenant_id, at, seq);

-- The last entry of each chain: who appends holds its row, and a log that has lost its end does not fit it.
create table audit_heads (
    tenant_id text primary key,
    seq bigint not null,
    hash bytea not null,
    at timestamptz not null
);
"""

SECURITY = """
alter table audit_entries enable row level security;
alter table audit_entries force row level security;
create policy tenant_rows on audit_entries
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
create policy maintenance on audit_entries to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');
alter table audit_heads enable row level security;
alter table audit_heads force row level security;
create policy maintenance on audit_heads to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

create function refuse_audit_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end $$;
-- Also for the owner: who takes them away leaves a chain that no longer fits.
create trigger append_only before update or delete on audit_entries
    for each row execute function refuse_audit_change();
create trigger not_emptied before truncate on audit_entries
    for each statement execute function refuse_audit_change();
create trigger kept before delete on audit_heads for each row execute function refuse_audit_change();
create trigger not_emptied before truncate on audit_heads
    for each statement execute function refuse_audit_change();
"""

# The document that is hashed is canonical JSON (RFC 8785: sorted names, no blanks); edge.audit.chain makes the same.
APPENDING = """
create function append_audit_entry(
    p_tenant text, p_actor text, p_key_id text, p_action text, p_target text, p_address text, p_request_id text,
    p_details text
) returns bigint
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    v_maintenance text := coalesce(current_setting('dormouse.maintenance', true), '');
    v_head audit_heads%rowtype;
    v_at timestamptz;
    v_seq bigint;
    v_hash bytea;
begin
    if coalesce(current_setting('dormouse.tenant', true), '') not in ('', p_tenant) then
        raise exception 'a transaction of one tenant writes no other''s log' using errcode = 'insufficient_privilege';
    end if;
    if p_tenant = '' or p_actor = '' or p_action = '' or json_typeof(p_details::json) is distinct from 'object' then
        raise exception 'an entry has a tenant, an actor, an action, and an object of details'
            using errcode = 'invalid_parameter_value';
    end if;
    perform set_config('dormouse.maintenance', 'on', true);
    insert into audit_heads values (p_tenant, 0, decode(repeat('00', 32), 'hex'), '-infinity') on conflict do nothing;
    select * into strict v_head from audit_heads where tenant_id = p_tenant for update;
    v_seq := v_head.seq + 1;
    -- The clock is read under the lock, and may have been set back.
    v_at := greatest(clock_timestamp(), v_head.at);
    v_hash := sha256(convert_to(
        '{"action":' || to_json(p_action)
        || ',"actor":' || to_json(p_actor)
        || ',"address":' || to_json(p_address)
        || ',"at":"' || to_char(v_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","details":' || p_details
        || ',"key_id":' || to_json(p_key_id)
        || ',"previous_hash":"' || encode(v_head.hash, 'hex')
        || '","request_id":' || to_json(p_request_id)
        || ',"seq":' || v_seq
        || ',"target":' || to_json(p_target)
        || ',"tenant":' || to_json(p_tenant)
        || '}', 'UTF8'));
    insert into audit_entries values (
        p_tenant, v_seq, v_at, p_actor, p_key_id, p_action, p_target, p_address, p_request_id, p_details, v_head.hash,
        v_hash
    );
    update audit_heads set seq = v_seq, hash = v_hash, at = v_at where tenant_id = p_tenant;
    perform set_config('dormouse.maintenance', v_maintenance, true);
    return v_seq;
end $$;
revoke all on function append_audit_entry from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    op.execute(SECURITY)
    op.execute(APPENDING)
