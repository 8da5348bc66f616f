"""Budgets and the ledger of what runs cost"""

from alembic import op

revision = "0010"
down_revision = "0009"

SCHEMA = """
-- Whose key has started the run, for who settles it after an answer of hours later.
alter table runs add column key_id text not null default '';

-- The most that a tenant, a user or a key may use up in a day or a month (UTC).
create table budgets (
    tenant_id text not null references tenants (id) on delete cascade,
    id text not null,
    kind text not null,
    -- A user's or key's id, '*' for each that has none of its own, '' for the tenant itself.
    subject text not null,
    period text not null,
    -- Prompt and completion together. Null: as many as they like.
    tokens bigint check (tokens >= 0),
    -- In the currency of the price list.
    money numeric(20, 9) check (money >= 0),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id),
    unique (tenant_id, kind, subject, period),
    constraint budgets_kind check (kind in ('tenant', 'user', 'key')),
    constraint budgets_subject check ((kind = 'tenant') = (subject = '')),
    constraint budgets_period check (period in ('day', 'month')),
    constraint budgets_limit check (tokens is not null or money is not null)
);

-- What was spent so far in each period, kept for every tenant, user and key, so that a budget which is made in the
-- middle of a month knows what has gone before.
create table spent (
    tenant_id text not null,
    kind text not null,
    subject text not null,
    period text not null,
    starts_on date not null,
    tokens bigint not null default 0,
    money numeric(20, 9) not null default 0,
    reserved_tokens bigint not null default 0,
    reserved_money numeric(20, 9) not null default 0,
    primary key (tenant_id, kind, subject, period, starts_on)
);

-- What is held back for work that has not been settled yet. Whoever does the work says so now and then.
create table reservations (
    tenant_id text not null,
    -- The run's, or that of another piece of work.
    id text not null,
    -- How often the run had been answered when this was reserved: its end before that does not free it.
    part integer not null,
    user_id text not null,
    key_id text not null,
    tokens bigint not null,
    money numeric(20, 9) not null,
    -- Whose sums hold it.
    day date not null,
    held_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, id)
);
create index reservations_held on reservations (held_at);

-- The ledger: for each piece of work and each model what it has used up in all. Settling again with the same counts
-- changes nothing; with higher ones, as for a run that went on after an answer, it adds the difference.
create table charges (
    tenant_id text not null,
    id text not null,
    model text not null,
    -- run, embedding, search or ingestion.
    work text not null,
    user_id text not null,
    key_id text not null,
    agent_id text not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    reasoning_tokens bigint not null,
    money numeric(20, 9) not null,
    charged_at timestamptz not null,
    primary key (tenant_id, id, model)
);
create index charges_newest on charges (tenant_id, charged_at desc);

-- The ledger's sums by day, for reports.
create table usage_days (
    tenant_id text not null,
    day date not null,
    user_id text not null,
    key_id text not null,
    agent_id text not null,
    model text not null,
    work text not null,
    requests bigint not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    reasoning_tokens bigint not null,
    money numeric(20, 9) not null,
    primary key (tenant_id, day, user_id, key_id, agent_id, model, work)
);
"""

SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
"""

# Those that name a tenant work as that tenant, under row-level security: one statement is one round trip.
FUNCTIONS = """
-- Everything that changes a tenant's sums waits here for its turn, until the transaction ends.
create function lock_spending(tenant text) returns void
language sql set search_path = pg_catalog, public, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended('dormouse.spending:' || tenant, 0))
$$;

-- The budgets that apply to who calls: a subject's own before that of everybody, and the plan's for the tenant where
-- it has none. plan: [{period, tokens, money}].
create function budgets_of(tenant text, user_name text, key_name text, plan jsonb)
returns table (id text, kind text, subject text, period text, tokens bigint, money numeric)
language sql stable set search_path = pg_catalog, public, pg_temp as $$
    select distinct on (b.kind, b.period) b.id, b.kind,
        case b.kind when 'user' then user_name when 'key' then key_name else '' end, b.period, b.tokens, b.money
    from (
        select s.id, s.kind, s.subject, s.period, s.tokens, s.money, s.subject = '*' as is_general
        from budgets s where s.tenant_id = tenant
        union all
        select '', 'tenant', '', p.period, p.tokens, p.money, true
        from jsonb_to_recordset(plan) as p (period text, tokens bigint, money numeric)
    ) as b
    where b.kind = 'tenant' or (b.kind = 'user' and b.subject in (user_name, '*'))
        or (b.kind = 'key' and key_name <> '' and b.subject in (key_name, '*'))
    order by b.kind, b.period, b.is_general
$$;

-- Adds to the sums of a tenant, a user and a key, of a day and its month.
create function add_to_spent(
    tenant text, user_name text, key_name text, day date, more_tokens bigint, more_money numeric,
    more_reserved_tokens bigint, more_reserved_money numeric
) returns void
language sql set search_path = pg_catalog, public, pg_temp as $$
    insert into spent as s
        (tenant_id, kind, subject, period, starts_on, tokens, money, reserved_tokens, reserved_money)
    select tenant, w.kind, w.subject, p.period, p.starts_on, more_tokens, more_money,
        more_reserved_tokens, more_reserved_money
    from (values ('tenant', ''), ('user', user_name), ('key', key_name)) as w (kind, subject),
        (values ('day', day), ('month', date_trunc('month', day)::date)) as p (period, starts_on)
    where w.kind <> 'key' or w.subject <> ''
    on conflict (tenant_id, kind, subject, period, starts_on) do update set
        tokens = s.tokens + excluded.tokens, money = s.money + excluded.money,
        reserved_tokens = s.reserved_tokens + excluded.reserved_tokens,
        reserved_money = s.reserved_money + excluded.reserved_money
$$;

-- Holds something back for a piece of work, unless a budget that applies is used up: then it is told, and nothing is
-- held back. A budget is used up once what is spent and held back reaches its limit, so it is overdrawn by one
-- reservation at most. resumes: the work is a run that waits for answers.
create function reserve_spending(
    tenant text, work_id text, user_name text, key_name text, more_tokens bigint, more_money numeric, plan jsonb,
    resumes boolean
) returns table (kind text, subject text, period text, max_tokens bigint, max_money numeric)
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
#variable_conflict use_column
declare
    today date := (clock_timestamp() at time zone 'UTC')::date;
    work_part integer := 0;
    added integer;
begin
    -- A Postgres that dies may forget what was held back a moment ago, never what was spent.
    perform set_config('dormouse.tenant', tenant, true), set_config('synchronous_commit', 'off', true);
    if resumes then
        select r.epoch / 1000000 + 1 into work_part from runs r where r.id = work_id and r.status = 'interrupted';
        if not found then
            return;
        end if;
    end if;
    perform lock_spending(tenant);
    return query
        select b.kind, b.subject, b.period, b.tokens, b.money
        from budgets_of(tenant, user_name, key_name, plan) b left join spent s on s.tenant_id = tenant
            and s.kind = b.kind and s.subject = b.subject and s.period = b.period
            and s.starts_on = case b.period when 'day' then today else date_trunc('month', today)::date end
        where coalesce(s.tokens, 0) + coalesce(s.reserved_tokens, 0) >= b.tokens
            or coalesce(s.money, 0) + coalesce(s.reserved_money, 0) >= b.money
        order by b.period desc, b.kind limit 1;
    if found then
        return;
    end if;
    perform free_reservations(tenant, array[work_id], array[work_part - 1]);
    insert into reservations (tenant_id, id, part, user_id, key_id, tokens, money, day)
        values (tenant, work_id, work_part, user_name, key_name, more_tokens, more_money, today)
        on conflict do nothing;
    get diagnostics added = row_count;
    if added > 0 then
        perform add_to_spent(tenant, user_name, key_name, today, 0, 0, more_tokens, more_money);
    end if;
end $$;

-- Gives back what is held for pieces of work, each up to a part. Whoever calls has the lock.
create function free_reservations(tenant text, work_ids text[], work_parts integer[]) returns integer
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
    freed record;
    total integer := 0;
begin
    for freed in
        delete from reservations r using unnest(work_ids, work_parts) as w (id, part)
        where r.tenant_id = tenant and r.id = w.id and r.part <= w.part
        returning r.user_id, r.key_id, r.day, r.tokens, r.money
    loop
        perform add_to_spent(
            tenant, freed.user_id, freed.key_id, freed.day, 0, 0, -freed.tokens, -freed.money
        );
        total := total + 1;
    end loop;
    return total;
end $$;

-- Settles pieces of work, of any tenants: [{tenant, id, part, work, user, key, agent, at, uses: [{model, prompt,
-- completion, reasoning, money}]}]. Counts are those of the whole work so far. Settling twice counts once.
create function settle_spending(settled jsonb) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp as $$
declare
    tenant text;
    more record;
begin
    for tenant in select distinct e ->> 'tenant' as name from jsonb_array_elements(settled) as e order by name loop
        perform set_config('dormouse.tenant', tenant, true);
        perform lock_spending(tenant);
        for more in
            with told as (
                select e ->> 'id' as id, u.model, max(e ->> 'work') as work, max(e ->> 'user') as user_id,
                    max(e ->> 'key') as key_id, max(e ->> 'agent') as agent_id,
                    max((e ->> 'at')::timestamptz) as at, max(u.prompt) as prompt, max(u.completion) as completion,
                    max(u.reasoning) as reasoning, max(u.money) as money, min(u.place) as place
                from jsonb_array_elements(settled) as e, rows from (
                    jsonb_to_recordset(e -> 'uses')
                        as (model text, prompt bigint, completion bigint, reasoning bigint, money numeric)
                ) with ordinality as u (model, prompt, completion, reasoning, money, place)
                where e ->> 'tenant' = tenant group by 1, 2
            ), known as (
                select c.* from charges c where c.tenant_id = tenant and c.id in (select t.id from told t)
            ), differing as (
                select t.*,
                    greatest(t.prompt - coalesce(k.prompt_tokens, 0), 0) as more_prompt,
                    greatest(t.completion - coalesce(k.completion_tokens, 0), 0) as more_completion,
                    greatest(t.reasoning - coalesce(k.reasoning_tokens, 0), 0) as more_reasoning,
                    greatest(t.money - coalesce(k.money, 0), 0) as more_money,
                    (t.place = 1 and not exists (select from known o where o.id = t.id))::integer as requests,
                    k.id is null as is_new
                from told t left join known k on k.id = t.id and k.model = t.model
            ), changed as (
                select * from differing where is_new or more_prompt + more_completion > 0 or more_money > 0
            ), written as (
                insert into charges as c (tenant_id, id, model, work, user_id, key_id, agent_id, prompt_tokens,
                    completion_tokens, reasoning_tokens, money, charged_at)
                select tenant, d.id, d.model, d.work, d.user_id, d.key_id, d.agent_id, d.prompt, d.completion,
                    d.reasoning, d.money, d.at
                from changed d
                on conflict (tenant_id, id, model) do update set
                    prompt_tokens = greatest(c.prompt_tokens, excluded.prompt_tokens),
                    completion_tokens = greatest(c.completion_tokens, excluded.completion_tokens),
                    reasoning_tokens = greatest(c.reasoning_tokens, excluded.reasoning_tokens),
                    money = greatest(c.money, excluded.money)
            ), summed as (
                insert into usage_days as s (tenant_id, day, user_id, key_id, agent_id, model, work, requests,
                    prompt_tokens, completion_tokens, reasoning_tokens, money)
                select tenant, (d.at at time zone 'UTC')::date, d.user_id, d.key_id, d.agent_id, d.model, d.work,
                    sum(d.requests), sum(d.more_prompt), sum(d.more_completion), sum(d.more_reasoning),
                    sum(d.more_money)
                from changed d group by 2, 3, 4, 5, 6, 7
                on conflict (tenant_id, day, user_id, key_id, agent_id, model, work) do update set
                    requests = s.requests + excluded.requests,
                    prompt_tokens = s.prompt_tokens + excluded.prompt_tokens,
                    completion_tokens = s.completion_tokens + excluded.completion_tokens,
                    reasoning_tokens = s.reasoning_tokens + excluded.reasoning_tokens,
                    money = s.money + excluded.money
            )
            select d.user_id, d.key_id, (d.at at time zone 'UTC')::date as day,
                sum(d.more_prompt + d.more_completion)::bigint as tokens, sum(d.more_money) as money
            from changed d group by 1, 2, 3
        loop
            perform add_to_spent(tenant, more.user_id, more.key_id, more.day, more.tokens, more.money, 0, 0);
        end loop;
        perform free_reservations(
            tenant,
            (select array_agg(e ->> 'id' order by n) from jsonb_array_elements(settled) with ordinality as x (e, n)
                where e ->> 'tenant' = tenant),
            (select array_agg((e ->> 'part')::integer order by n)
                from jsonb_array_elements(settled) with ordinality as x (e, n) where e ->> 'tenant' = tenant)
        );
    end loop;
end $$;
"""

# Work over all tenants, which tells ids only.
MAINTENANCE = """
create policy maintenance on reservations to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');

-- Somebody still works on these.
create function hold_reservations(ids text[]) returns void
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    update reservations r set held_at = clock_timestamp() where r.id = any (ids);
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Reservations that nobody has held since, those that wait longest first.
create function left_reservations(before timestamptz, batch integer)
returns table (tenant_id text, id text, part integer)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    perform set_config('dormouse.maintenance', 'on', true);
    return query select r.tenant_id, r.id, r.part from reservations r where r.held_at < before
        order by r.held_at limit batch;
    perform set_config('dormouse.maintenance', '', true);
end $$;

revoke all on function lock_spending, budgets_of, add_to_spent, reserve_spending, free_reservations, settle_spending,
    hold_reservations, left_reservations from public;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table in ("budgets", "spent", "reservations", "charges", "usage_days"):
        op.execute(SECURITY.format(table=table))
    op.execute(FUNCTIONS)
    op.execute(MAINTENANCE)
