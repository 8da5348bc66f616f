"""Users, roles, plans and sessions, and the keys that sign access tokens"""

from alembic import op

revision = "0008"
down_revision = "0007"

SCHEMA = """
-- A tenant that was there before there were plans goes on as it was; a new one begins with the least.
alter table tenants
    add column plan text not null default 'unlimited' check (plan <> ''),
    add column settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object');
alter table tenants alter column plan set default 'free';

-- A tenant that another issuer vouches for. True: it is new. An operator has to have wanted that; it gets the least.
create function add_tenant(new_id text) returns boolean
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    is_new boolean;
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    insert into tenants (id, name) values (new_id, new_id) on conflict (id) do nothing;
    is_new := found;
    perform set_config('dormouse.maintenance', '', true);
    return is_new;
end $$;
revoke all on function add_tenant from public;

create table users (
    tenant_id text not null references tenants (id) on delete cascade,
    id text not null check (id <> ''),
    -- In lower case. Of one tenant: another's users are nobody's business.
    email text not null check (email = lower(email)),
    name text not null default '',
    -- Argon2id with its salt and parameters. Null: invited, and has not chosen one yet.
    password_hash text,
    role text not null,
    disabled_at timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    constraint users_email unique (tenant_id, email),
    constraint users_role check (role in ('admin', 'member', 'viewer'))
);
create index users_newest on users (tenant_id, created_at desc, id desc);

-- What an invited user, or one who has forgotten the password, chooses one with. One at a time for each.
create table invitations (
    tenant_id text not null,
    user_id text not null,
    mac bytea not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, user_id),
    unique (tenant_id, mac),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);

-- A session is a family of refresh tokens, of which only the newest counts. Each is made from the seed, its number and
-- the pepper, so that an old one is known as such without a row for each.
create table sessions (
    tenant_id text not null,
    id text not null,
    user_id text not null,
    seed bytea not null,
    generation integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    refreshed_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    -- logout, reuse, password, disabled.
    ended_by text,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index sessions_of_user on sessions (tenant_id, user_id, created_at desc);

-- The platform's own, of no tenant. A key is published before it signs, and published on until its last token is gone.
create table signing_keys (
    id text primary key,
    public_jwk jsonb not null,
    -- Encrypted with a key made from the pepper: a copy of the database signs nothing.
    private_key bytea not null,
    signs_from timestamptz not null,
    signs_until timestamptz not null,
    verifies_until timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    check (signs_from < signs_until and signs_until < verifies_until)
);
"""

SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table in ("users", "invitations", "sessions"):
        op.execute(SECURITY.format(table=table))
