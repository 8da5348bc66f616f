"""API keys with grants, and row-level security under the tables that lacked it"""

from alembic import op

revision = "0009"
down_revision = "0008"

KEYS = """
alter table api_keys
    -- What the key may be at most; its user's own role bounds it too.
    add column role text not null default 'admin',
    -- Null: everything that the role may.
    add column scopes text[],
    -- What runs may use that are started with it. Null: everything there is.
    add column agents text[],
    add column models text[],
    add column tools text[],
    add column expires_at timestamptz,
    -- Written now and then, not with each use.
    add column last_used_at timestamptz,
    -- Who has made it; empty: an operator.
    add column created_by text not null default '',
    -- Fingerprint of the pepper under the MAC; empty: from before there was more than one.
    add column pepper text not null default '',
    -- After a rotation the secret from before goes on working for a while.
    add column rotated_at timestamptz,
    add column previous_mac bytea unique,
    add column previous_until timestamptz,
    add constraint api_keys_role check (role in ('admin', 'member', 'viewer')),
    add constraint api_keys_previous check ((previous_mac is null) = (previous_until is null));
-- Those that were there before had no bounds; new ones say what they may.
alter table api_keys alter column role set default 'member';
drop index api_keys_tenant;
create index api_keys_newest on api_keys (tenant_id, created_at desc, id);
"""

# A tenant's id stands before a colon in LangGraph's thread ids, in names of keys in Redis, and in tokens.
TENANTS = """
alter table tenants add constraint tenants_id check (id ~ '^[A-Za-z0-9_.@-]{1,128}$');
"""

SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using ({owner} = current_setting('dormouse.tenant', true))
    with check ({owner} = current_setting('dormouse.tenant', true));
"""
OWNERS = {
    "tenants": "id",
    "api_keys": "tenant_id",
    "checkpoints": "split_part(thread_id, ':', 1)",
    "checkpoint_blobs": "split_part(thread_id, ':', 1)",
    "checkpoint_writes": "split_part(thread_id, ':', 1)",
}

# Work over all tenants. The owner, too, sees rows of no tenant; with this setting, and for him alone, he sees them all.
MAINTENANCE = """
create policy maintenance on {table} to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');
"""

FUNCTIONS = """
-- The key with one of these MACs, which are one secret's under each pepper, and what it may: nothing when there is none
-- that is good now. Whoever asks knows the secret; nothing else tells whose a key is before its tenant is known.
create function find_api_key(macs bytea[])
returns table (
    id text, tenant_id text, user_id text, role text, scopes text[], agents text[], models text[], tools text[],
    good_until timestamptz, plan text, mac bytea
)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    roles constant text[] := array['viewer', 'member', 'admin'];
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    return query
        select k.id, k.tenant_id, k.user_id,
            -- A key may no more than its user; one that stands for no user has its own role alone.
            roles[least(array_position(roles, k.role), array_position(roles, u.role))],
            k.scopes, k.agents, k.models, k.tools,
            case when k.mac = any (macs) then k.expires_at else least(k.expires_at, k.previous_until) end,
            t.plan, case when k.mac = any (macs) then k.mac else k.previous_mac end
        from api_keys k
            join tenants t on t.id = k.tenant_id
            left join users u on u.tenant_id = k.tenant_id and u.id = k.user_id
        where (k.mac = any (macs) or (k.previous_mac = any (macs) and k.previous_until > now()))
            and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and u.disabled_at is null;
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Notes when keys were used last. Tells nothing.
create function note_api_key_uses(keys text[], moments timestamptz[]) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    -- In the order of the keys, so that two replicas cannot wait for each other.
    perform 1 from api_keys k where k.id = any (keys) order by k.id for update;
    update api_keys k set last_used_at = u.moment from unnest(keys, moments) as u (key, moment)
        where k.id = u.key and (k.last_used_at is null or k.last_used_at < u.moment);
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Puts a secret under a new pepper. Only who has the secret knows either MAC.
create function renew_api_key_mac(old_mac bytea, new_mac bytea, new_pepper text) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    update api_keys k set mac = new_mac, pepper = new_pepper where k.mac = old_mac;
    update api_keys k set previous_mac = new_mac where k.previous_mac = old_mac;
    perform set_config('dormouse.maintenance', '', true);
end $$;

revoke all on function find_api_key, note_api_key_uses, renew_api_key_mac from public;

-- A key never outlives its user, however that one goes.
create function revoke_keys_of_user() returns trigger language plpgsql as $$
begin
    update api_keys set revoked_at = clock_timestamp()
        where tenant_id = old.tenant_id and user_id = old.id and revoked_at is null;
    return null;
end $$;
create trigger revoke_keys after delete on users for each row execute function revoke_keys_of_user();
"""


def upgrade() -> None:
    op.execute(KEYS)
    op.execute(TENANTS)
    for table, owner in OWNERS.items():
        op.execute(SECURITY.format(table=table, owner=owner))
    for table in ("tenants", "api_keys", "users"):
        op.execute(MAINTENANCE.format(table=table))
    op.execute(FUNCTIONS)
