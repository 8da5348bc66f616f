"""Documents, their passages, words and embeddings, the embedding cache, and outcomes of searches"""

from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = """
create extension if not exists vector;

-- Vectors of different models have nothing to do with each other. version changes with a model's weights.
create table embedding_models (
    id integer primary key generated always as identity,
    name text not null,
    version text not null default '',
    -- As many as an HNSW index of halfvec takes.
    dimensions integer not null check (dimensions between 1 and 4000),
    unique (name, version, dimensions)
);

-- What a tenant has in all.
create table libraries (
    tenant_id text primary key,
    -- Stands for the tenant among the words of its passages.
    number integer not null unique generated always as identity,
    -- The model whose vectors searches compare.
    model integer references embedding_models (id),
    -- Passages of documents that are ready: exact, it decides how a search is done.
    chunks bigint not null default 0,
    -- A question below the first is searched fast, one from the second on deep.
    balanced_from real not null default 0.3,
    deep_from real not null default 0.7,
    constraint libraries_chunks check (chunks >= 0),
    constraint libraries_thresholds check (0 <= balanced_from and balanced_from <= deep_from and deep_from <= 1)
);

create table documents (
    tenant_id text not null references libraries (tenant_id),
    id text not null,
    -- Stands for the document in the tables below.
    number bigint not null generated always as identity,
    name text not null,
    media_type text not null default '',
    size_bytes bigint not null,
    -- Lower-case hex.
    sha256 text not null,
    -- A deleted document is hidden at once; its rows go batch by batch, its own at the end.
    state text not null default 'ingesting',
    -- How it was parsed and cut; what another recipe has stored is of no use.
    recipe text not null default '',
    page_count integer not null default 0,
    -- Passages that are stored.
    chunk_count integer not null default 0,
    -- How many there will be. Null: not known yet.
    chunk_total integer,
    error text not null default '',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, number),
    constraint documents_state check (state in ('ingesting', 'ready', 'failed', 'deleted')),
    constraint documents_counts check (chunk_count >= 0 and (state <> 'ready' or chunk_count = chunk_total))
);
create unique index documents_content on documents (tenant_id, sha256) where state in ('ingesting', 'ready');
create index documents_newest on documents (tenant_id, created_at, id);
create index documents_not_ready on documents (tenant_id, number) where state <> 'ready';
create index documents_to_clear on documents (changed_at)
    where state = 'deleted' or (state = 'failed' and chunk_count > 0);

create table chunks (
    tenant_id text not null,
    key bigint not null generated always as identity,
    document bigint not null,
    -- 0, 1, 2, … in the document.
    number integer not null check (number >= 0),
    text text not null,
    headings text[] not null default '{}',
    first_page integer not null default 0,
    last_page integer not null default 0,
    start_offset bigint not null,
    end_offset bigint not null,
    primary key (tenant_id, key),
    unique (document, number),
    foreign key (tenant_id, document) references documents (tenant_id, number) on delete cascade
);

-- The words of passages, with positions, and the tenant among them. A table of its own: see its second policy.
create table chunk_words (
    tenant_id text not null,
    chunk bigint not null,
    document bigint not null,
    words tsvector not null,
    -- For how many passages this one counts in word_counts.
    weight integer not null,
    primary key (tenant_id, chunk),
    foreign key (tenant_id, chunk) references chunks (tenant_id, key) on delete cascade
) with (toast_tuple_target = 8160);
alter table chunk_words alter column words set storage external;
-- Every search reads the pending list; without one, a passage would cost three times as much to store.
create index chunk_words_words on chunk_words using gin (words) with (gin_pending_list_limit = 1024);

-- In how many of a tenant's passages a word is, about: where there are many passages, some stand for the others.
create table word_counts (
    tenant_id text not null,
    word text not null,
    chunks integer not null,
    primary key (tenant_id, word)
) with (fillfactor = 70);

create table embeddings (
    tenant_id text not null,
    chunk bigint not null,
    model integer not null references embedding_models (id),
    document bigint not null,
    vector halfvec not null,
    -- Whether it is in the model's HNSW index. To put it there costs twenty times as much as to store it, so that is
    -- done afterwards, and only for tenants that have too many to compare with all of them.
    indexed boolean not null default false,
    primary key (tenant_id, chunk, model),
    foreign key (tenant_id, chunk) references chunks (tenant_id, key) on delete cascade
) with (toast_tuple_target = 8160);
create index embeddings_of_tenant on embeddings (tenant_id, model, document);
create index embeddings_not_indexed on embeddings (tenant_id, model) where not indexed;

create table embedding_cache (
    tenant_id text not null,
    -- Name, version and dimensions.
    model text not null,
    -- Of the text that the model was given.
    text_hash bytea not null,
    -- 32-bit floats, little endian.
    vector bytea not null,
    token_count integer not null,
    used_on date not null default current_date,
    primary key (tenant_id, model, text_hash)
) with (toast_tuple_target = 8160);
alter table embedding_cache alter column vector set storage external;
create index embedding_cache_oldest on embedding_cache (used_on);

-- What a search has cost and brought; no words of anybody.
create table search_outcomes (
    tenant_id text not null,
    number bigint not null generated always as identity,
    searched_at timestamptz not null default now(),
    complexity real not null,
    mode text not null,
    -- The share of the mode's best passages that the cheaper mode would not have shown.
    gain real not null,
    took_ms integer not null,
    primary key (tenant_id, number),
    constraint search_outcomes_mode check (mode in ('fast', 'balanced', 'deep'))
);
create index search_outcomes_oldest on search_outcomes (searched_at);
"""

SECURITY = """
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant_rows on {table}
    using (tenant_id = current_setting('dormouse.tenant', true))
    with check (tenant_id = current_setting('dormouse.tenant', true));
"""
TABLES = (
    *("libraries", "documents", "chunks", "chunk_words", "word_counts", "embeddings"),
    *("embedding_cache", "search_outcomes"),
)

WORDS = r"""
-- Row-level security keeps every condition away from an index whose operator might tell something of the rows it looks
-- at, and Postgres does not vouch for @@. So the owner may see all words, and only the function below, which is the
-- owner's, reads them: of the tenant whose transaction it is. The services have no right to the table itself.
create policy index_of_words on chunk_words to current_user using (true) with check (true);

-- English stems in all texts: on the labelled set (evals.retrieval) full text alone reaches nDCG@10 0.73 with them,
-- 0.68 without and 0.71 with both. Words of other languages are cut by the same rules on both sides, so they meet.
create function store_words() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    insert into chunk_words (tenant_id, chunk, document, words, weight)
        select a.tenant_id, a.key, a.document,
            to_tsvector('pg_catalog.english', array_to_string(a.headings, E'\n') || E'\n' || a.text)
                || array_to_tsvector(array['=' || l.number]),
            case when greatest(l.chunks, d.chunk_count) < 10000 then 1 when a.key % 8 = 0 then 8 else 0 end
        from added a join libraries l using (tenant_id)
            join documents d on d.tenant_id = a.tenant_id and d.number = a.document;
    return null;
end $$;

create trigger store_words after insert on chunks referencing new table as added
    for each statement execute function store_words();

-- In the order of the words, so that two at once cannot wait for each other.
create function count_words() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    owners text[];
    gone_words text[];
    gone_counts integer[];
begin
    if tg_op = 'INSERT' then
        insert into word_counts as w (tenant_id, word, chunks)
            select tenant_id, lexeme, sum(weight) from added, unnest(added.words)
            where weight > 0 and left(lexeme, 1) <> '=' group by tenant_id, lexeme order by tenant_id, lexeme
        on conflict (tenant_id, word) do update set chunks = w.chunks + excluded.chunks;
    else
        select array_agg(tenant_id order by tenant_id, lexeme), array_agg(lexeme order by tenant_id, lexeme),
            array_agg(gone order by tenant_id, lexeme) into owners, gone_words, gone_counts
        from (
            select tenant_id, lexeme, sum(weight)::integer as gone from removed, unnest(removed.words)
            where weight > 0 group by tenant_id, lexeme
        ) as counted;
        perform 1 from unnest(owners, gone_words) as g (tenant_id, word) join word_counts w using (tenant_id, word)
            order by w.tenant_id, w.word for update of w;
        delete from word_counts w using unnest(owners, gone_words, gone_counts) as g (tenant_id, word, chunks)
            where w.tenant_id = g.tenant_id and w.word = g.word and w.chunks <= g.chunks;
        update word_counts w set chunks = w.chunks - g.chunks
            from unnest(owners, gone_words, gone_counts) as g (tenant_id, word, chunks)
            where w.tenant_id = g.tenant_id and w.word = g.word;
    end if;
    return null;
end $$;

create trigger count_added_words after insert on chunk_words referencing new table as added
    for each statement execute function count_words();
create trigger count_removed_words after delete on chunk_words referencing old table as removed
    for each statement execute function count_words();

-- The best of the passages that have words of the question, in ready documents, or of those only the ones in `among`.
-- A word counts the more the fewer passages have it, and the oftener it is in the passage. At most `budget` passages
-- are looked at: those with the rarest words. No part of the question is ever read as an operator.
create function match_words(question text, among bigint[], most integer, budget integer)
returns table (chunk bigint, document bigint, score real)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_custom_plan as $$
declare
    me text := current_setting('dormouse.tenant', true);
    tag tsquery;
    total bigint;
    hidden bigint[];
    terms tsquery[];
    weights double precision[];
    wanted tsquery;
    narrow tsquery;
    rarest bigint;
begin
    select ('''=' || number || '''')::tsquery, greatest(chunks, 1) into tag, total from libraries where tenant_id = me;
    select array_agg(number) into hidden from documents where tenant_id = me and state <> 'ready';
    select array_agg(term order by n), array_agg(ln(1 + total / known.chunks::double precision) order by n),
        string_agg(term::text, ' | ') filter (where n = 1 or so_far <= budget),
        string_agg(term::text, ' & ') filter (where n <= 2), min(known.chunks)
        into terms, weights, wanted, narrow, rarest
    from (
        select ('''' || replace(replace(word, '\', '\\'), '''', '''''') || '''')::tsquery as term, c.chunks,
            row_number() over rarer as n, sum(c.chunks) over rarer as so_far
        from word_counts c
        where tenant_id = me and word in (select lexeme from unnest(to_tsvector('pg_catalog.english', question)))
        window rarer as (order by c.chunks, word rows unbounded preceding) order by n limit 16
    ) as known;
    if wanted is null then
        return;
    end if;
    -- Where even the rarest word is common, passages with two of them go first.
    if rarest > budget and cardinality(terms) > 1 and (
        select count(*) = most from (
            select from chunk_words w where w.words @@ (tag && narrow)
                and (among is null or w.document = any (among)) and (hidden is null or w.document <> all (hidden))
            limit most
        ) as both_words
    ) then
        wanted := narrow;
    end if;
    return query
        select c.chunk, c.document, (
            select sum(weight * ts_rank(c.words, term)) from unnest(terms, weights) as t (term, weight)
        )::real as score
        from (
            select w.chunk, w.document, w.words from chunk_words w where w.words @@ (tag && wanted)
                and (among is null or w.document = any (among)) and (hidden is null or w.document <> all (hidden))
            limit budget
        ) as c
        order by score desc, chunk limit most;
end $$;

-- Drops at most `batch` passages of a document, with their words and embeddings, and returns how many.
create function delete_chunks(owning bigint, batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    me text := current_setting('dormouse.tenant', true);
    gone bigint[];
begin
    select array_agg(key) into gone from (
        select key from chunks where tenant_id = me and document = owning order by number limit batch for update
    ) as first_chunks;
    delete from chunk_words where tenant_id = me and chunk = any (gone);
    delete from embeddings where tenant_id = me and chunk = any (gone);
    delete from chunks where tenant_id = me and key = any (gone);
    return coalesce(cardinality(gone), 0);
end $$;
"""

MODELS = """
-- The number of a model, which is made with the index of its vectors where it is new. Two at once make one.
create function ensure_embedding_model(model_name text, model_version text, model_dimensions integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    found_id integer;
begin
    select id into found_id from embedding_models
        where (name, version, dimensions) = (model_name, model_version, model_dimensions);
    if found_id is not null then
        return found_id;
    end if;
    perform pg_advisory_xact_lock(hashtext('embedding_models'));
    select id into found_id from embedding_models
        where (name, version, dimensions) = (model_name, model_version, model_dimensions);
    if found_id is not null then
        return found_id;
    end if;
    if (select count(*) from embedding_models) >= 1000 then
        raise exception 'there are too many embedding models' using errcode = 'program_limit_exceeded';
    end if;
    insert into embedding_models (name, version, dimensions)
        values (model_name, model_version, model_dimensions) returning id into found_id;
    execute format(
        'create index %I on embeddings using hnsw ((vector::halfvec(%s)) halfvec_cosine_ops)'
            ' with (m = 16, ef_construction = 48) where model = %s and indexed',
        'embeddings_nearest_' || found_id, model_dimensions, found_id
    );
    return found_id;
end $$;
"""

# Work over all tenants. The owner, too, sees rows of no tenant; in these functions, and only there, he sees them all.
MAINTENANCE_TABLES = ("documents", "embedding_cache", "search_outcomes")
MAINTENANCE_POLICY = """
create policy maintenance on {table} to current_user
    using (current_setting('dormouse.maintenance', true) = 'on')
    with check (current_setting('dormouse.maintenance', true) = 'on');
"""
MAINTENANCE = """
-- Documents that were deleted or failed before `before` and still have rows.
create function documents_to_clear(before timestamptz, batch integer) returns table (tenant_id text, number bigint)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    -- In the body, because only a superuser may hang such a setting on a function.
    perform set_config('dormouse.maintenance', 'on', true);
    return query select d.tenant_id, d.number from documents d
        where (d.state = 'deleted' or (d.state = 'failed' and d.chunk_count > 0)) and d.changed_at < before
        order by d.changed_at limit batch;
    perform set_config('dormouse.maintenance', '', true);
end $$;

-- Drops at most `batch` vectors that nobody has asked for since `before`, and returns how many.
create function prune_embedding_cache(before date, batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    dropped integer;
begin
    perform set_config('dormouse.maintenance', 'on', true);
    delete from embedding_cache where (tenant_id, model, text_hash) in (
        select c.tenant_id, c.model, c.text_hash from embedding_cache c where c.used_on < before
        order by c.used_on limit batch for update skip locked
    );
    get diagnostics dropped = row_count;
    perform set_config('dormouse.maintenance', '', true);
    return dropped;
end $$;

-- Drops at most `batch` outcomes from before `before`, and returns how many.
create function prune_search_outcomes(before timestamptz, batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    dropped integer;
begin
    perform set_config('dormouse.maintenance', 'on', true);
    delete from search_outcomes where (tenant_id, number) in (
        select o.tenant_id, o.number from search_outcomes o where o.searched_at < before
        order by o.searched_at limit batch for update skip locked
    );
    get diagnostics dropped = row_count;
    perform set_config('dormouse.maintenance', '', true);
    return dropped;
end $$;
"""

FUNCTIONS = (
    *("store_words", "count_words", "match_words", "delete_chunks", "ensure_embedding_model", "documents_to_clear"),
    *("prune_embedding_cache", "prune_search_outcomes"),
)


def upgrade() -> None:
    op.execute(SCHEMA)
    for table in TABLES:
        op.execute(SECURITY.format(table=table))
    for table in MAINTENANCE_TABLES:
        op.execute(MAINTENANCE_POLICY.format(table=table))
    op.execute(WORDS)
    op.execute(MODELS)
    op.execute(MAINTENANCE)
    op.execute(f"revoke all on function {', '.join(FUNCTIONS)} from public")
