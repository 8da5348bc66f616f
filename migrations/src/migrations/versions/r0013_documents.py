"""Searches in few statements, files that expire, and which store holds the originals"""

from alembic import op

revision = "0013"
down_revision = "0012"

# Each is one statement of the caller's, so one snapshot, and one way to the server and back. They run with the caller's
# rights: row-level security is what keeps a tenant to its rows, and its tenant is that of the call, for as long as it.
# Their plans are kept with the connection. No statement may take a sequential scan, whatever the statistics say.
SEARCH = """
-- What decides how a search is done. selected: passages of the ready documents that it is about, by metadata and ids;
-- null for all. hidden: passages of documents that are not ready. indexed: vectors of all tenants in the model's index,
-- as of the last time that Postgres has counted. waiting: vectors that should be in the index, for a tenant with more
-- than `compared` passages, counted to `most_waiting`.
create function library_to_search(
    tenant text, wanted jsonb, ids text[], compared bigint, most_waiting integer
) returns table (
    chunks bigint, balanced_from real, deep_from real, id integer, name text, version text, dimensions integer,
    selected bigint, hidden bigint, indexed double precision, waiting bigint
)
language plpgsql stable
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform set_config('dormouse.tenant', tenant, true);
    return query
        select l.chunks, l.balanced_from, l.deep_from, m.id, m.name, m.version, m.dimensions,
            case when wanted is not null then (
                select coalesce(sum(chunk_count), 0) from documents d
                where d.tenant_id = tenant and d.state = 'ready' and d.metadata @> wanted
                    and (cardinality(ids) = 0 or d.id = any (ids))
            ) end::bigint,
            (select coalesce(sum(chunk_count), 0) from documents d where d.tenant_id = tenant and d.state <> 'ready')
                ::bigint,
            (select greatest(reltuples, 0) from pg_class where oid = to_regclass('embeddings_nearest_' || l.model))
                ::double precision,
            case when l.chunks > compared then (
                select count(*) from (
                    select from embeddings e where e.tenant_id = tenant and e.model = l.model and not e.indexed
                    limit most_waiting
                ) as some_waiting
            ) else 0 end
        from libraries l left join embedding_models m on m.id = l.model where l.tenant_id = tenant;
end $$;

-- The numbers of the ready documents with all of the metadata, and of these ids where there are any.
create function documents_to_search(tenant text, wanted jsonb, ids text[]) returns bigint[]
language sql stable set enable_seqscan = off as $$
    select coalesce(array_agg(number), '{}') from documents
    where tenant_id = tenant and state = 'ready' and metadata @> wanted and (cardinality(ids) = 0 or id = any (ids))
$$;

-- The passages nearest to a question by the cosine of the angle, nearest first. One row without a passage: the tenant's
-- model is another one. way: 'all' compares with all, 'documents' with those of certain documents, 'index' asks the
-- HNSW index, and compares with what is not in it yet. A filter does not go with 'all'.
create function nearest_passages(
    tenant text, asked integer, length integer, question halfvec, way text, wanted jsonb, ids text[], most integer,
    ef_search integer
) returns table (chunk bigint, similarity double precision)
language plpgsql stable
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    numbers bigint[];
begin
    perform set_config('dormouse.tenant', tenant, true);
    perform from libraries l where l.tenant_id = tenant and l.model = asked;
    if not found then
        return query select null::bigint, null::double precision;
        return;
    end if;
    if way = 'all' then
        return query
            select e.chunk, 1 - (e.vector <=> question) as near from embeddings e
            where e.tenant_id = tenant and e.model = asked
                and e.document not in (select number from documents where tenant_id = tenant and state <> 'ready')
            order by near desc, e.chunk limit most;
        return;
    end if;
    if wanted is not null then
        numbers := documents_to_search(tenant, wanted, ids);
    end if;
    if way = 'documents' then
        -- Document by document along an index: other joins would read all of the tenant's vectors.
        perform set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
        return query
            select e.chunk, 1 - (e.vector <=> question) as near
            from documents d join embeddings e on e.tenant_id = tenant and e.model = asked and e.document = d.number
            where d.tenant_id = tenant and d.state = 'ready' and (numbers is null or d.number = any (numbers))
            order by near desc, e.chunk limit most;
        return;
    end if;
    -- Where the index gives the order, a plan that sorts is one that does not use it.
    perform set_config(setting, value, true) from (values
        ('enable_sort', 'off'), ('hnsw.iterative_scan', 'relaxed_order'), ('hnsw.ef_search', ef_search::text),
        ('hnsw.max_scan_tuples', '200000'), ('hnsw.scan_mem_multiplier', '4')
    ) as wide (setting, value);
    return query execute nearest_by_index(asked, length) using tenant, question, most, numbers;
end $$;

-- The statement that asks a model's index: model and length have to be in it, as they are in the index's conditions.
-- $1: the tenant, $2: the question, $3: how many, $4: the numbers of the documents, null for all.
create function nearest_by_index(asked integer, length integer) returns text language sql immutable as $$
    select format('
        with indexed as materialized (
            select chunk, vector::halfvec(%1$s) <=> $2::halfvec(%1$s) as distance from embeddings
            where tenant_id = $1 and model = %2$s and indexed
                and document not in (select number from documents where tenant_id = $1 and state <> ''ready'')
                and ($4 is null or document = any ($4))
            order by vector::halfvec(%1$s) <=> $2::halfvec(%1$s) limit $3
        ), waiting as materialized (
            select chunk, vector <=> $2 as distance from embeddings
            where tenant_id = $1 and model = %2$s and not indexed
                and document not in (select number from documents where tenant_id = $1 and state <> ''ready'')
                and ($4 is null or document = any ($4))
        )
        select chunk, 1 - distance from (table indexed union all table waiting) as found
        order by distance, chunk limit $3', length, asked)
$$;

-- match_words for the documents that a search is about.
create function matching_passages(
    tenant text, question text, wanted jsonb, ids text[], most integer, budget integer
) returns table (chunk bigint, score real)
language plpgsql stable as $$
#variable_conflict use_column
begin
    perform set_config('dormouse.tenant', tenant, true);
    return query
        select m.chunk, m.score from match_words(
            question, case when wanted is not null then documents_to_search(tenant, wanted, ids) end, most, budget
        ) as m;
end $$;

-- What is shown of the passages that were found, and are still there.
create function found_passages(tenant text, keys bigint[]) returns table (
    key bigint, number integer, text text, headings text[], first_page integer, last_page integer,
    start_offset bigint, end_offset bigint, document_id text, document_name text
)
language plpgsql stable
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    perform set_config('dormouse.tenant', tenant, true);
    return query
        select c.key, c.number, c.text, c.headings, c.first_page, c.last_page, c.start_offset, c.end_offset,
            d.id, d.name
        from unnest(keys) as wanted (key)
            join chunks c on c.tenant_id = tenant and c.key = wanted.key
            join documents d on d.tenant_id = tenant and d.number = c.document and d.state = 'ready';
end $$;
"""

# As in revision 5, but for its plans, which are kept, and its sum, which is written out: a subquery for each passage
# took as long as the ranks themselves.
MOST_WORDS = 16
WORDS = r"""
-- The best of the passages that have words of the question, in ready documents, or of those only the ones in `among`.
-- A word counts the more the fewer passages have it, and the oftener it is in the passage. At most `budget` passages
-- are looked at: those with the rarest words. No part of the question is ever read as an operator.
create or replace function match_words(question text, among bigint[], most integer, budget integer)
returns table (chunk bigint, document bigint, score real)
language plpgsql stable security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off set max_parallel_workers_per_gather = 0 set plan_cache_mode = force_generic_plan as $$
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
        window rarer as (order by c.chunks, word rows unbounded preceding) order by n limit {most_words}
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
        select c.chunk, c.document, ({ranks})::real as score
        from (
            select w.chunk, w.document, w.words from chunk_words w where w.words @@ (tag && wanted)
                and (among is null or w.document = any (among)) and (hidden is null or w.document <> all (hidden))
            limit budget
        ) as c
        order by score desc, chunk limit most;
end $$;
"""
RANKS = " + ".join(
    f"coalesce(weights[{number}] * ts_rank(c.words, terms[{number}]), 0)" for number in range(1, MOST_WORDS + 1)
)

FILES = """
-- When the file goes by itself. Null: never.
alter table files add column expires_at timestamptz;
create index files_expiring on files (expires_at)
    where expires_at is not null and status in ('uploaded', 'processed', 'error');

-- Hides at most `batch` files whose time is over; they are cleared away as deleted ones are. Returns how many.
create function expire_files(batch integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    expired integer;
begin
    perform set_config('dormouse.maintenance', 'on', true);
    update files set status = 'deleted' where (tenant_id, id) in (
        select f.tenant_id, f.id from files f
        where f.expires_at <= clock_timestamp() and f.status in ('uploaded', 'processed', 'error')
        order by f.expires_at limit batch for update skip locked
    );
    get diagnostics expired = row_count;
    perform set_config('dormouse.maintenance', '', true);
    return expired;
end $$;

-- The one store that has the originals of this database's files, by the name that it keeps in itself.
create table file_store (
    single boolean primary key default true check (single),
    id text not null,
    -- As it was named when it was first used: for people.
    place text not null
);

-- Which store that is: the first that anybody has named, for good.
create function file_store_of(candidate text, named text) returns table (id text, place text)
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
begin
    insert into file_store (id, place) values (candidate, named) on conflict do nothing;
    return query select s.id, s.place from file_store s;
end $$;
"""

FUNCTIONS = (
    *("library_to_search", "documents_to_search", "nearest_passages", "nearest_by_index", "matching_passages"),
    *("found_passages", "expire_files", "file_store_of"),
)


def upgrade() -> None:
    op.execute(SEARCH)
    op.execute(WORDS.format(ranks=RANKS, most_words=MOST_WORDS))
    op.execute(FILES)
    op.execute(f"revoke all on function {', '.join(FUNCTIONS)} from public")
