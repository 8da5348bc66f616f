"""The SQL of searches. `{model}` and `{dimensions}` are numbers that Postgres has to see to use a model's index."""

from typing import Final

from embed_fn.search.plan import Way

LIBRARY: Final = """
    select l.chunks, l.balanced_from, l.deep_from, m.id, m.name, m.version, m.dimensions, (
        select coalesce(sum(chunk_count), 0) from documents where tenant_id = %(tenant)s and state <> 'ready'
    ) as hidden, (
        -- Of all tenants, as of the last time that Postgres has counted.
        select greatest(reltuples, 0) from pg_class where oid = to_regclass('embeddings_nearest_' || l.model)
    ) as indexed
    from libraries l left join embedding_models m on m.id = l.model where l.tenant_id = %(tenant)s
"""
SELECTED: Final = """
    select coalesce(array_agg(number), '{}') as numbers, coalesce(sum(chunk_count), 0) as chunks from documents
    where tenant_id = %(tenant)s and state = 'ready' and metadata @> %(metadata)s::jsonb
        and (cardinality(%(ids)s::text[]) = 0 or id = any (%(ids)s::text[]))
"""
MATCHING: Final = "select chunk, score from match_words(%(question)s, %(numbers)s::bigint[], %(most)s, %(matched)s)"
PASSAGES: Final = """
    select c.key, c.number, c.text, c.headings, c.first_page, c.last_page, c.start_offset, c.end_offset,
        d.id as document_id, d.name as document_name
    from unnest(%(keys)s::bigint[]) as wanted (key)
        join chunks c on c.tenant_id = %(tenant)s and c.key = wanted.key
        join documents d on d.tenant_id = %(tenant)s and d.number = c.document and d.state = 'ready'
"""
# Whether the tenant has vectors that wait for the index: so many that it is worth to wake who brings them in.
WAITING: Final = """
    select count(*) as waiting from (
        select from embeddings where tenant_id = %(tenant)s and model = %(model)s and not indexed limit 64
    ) as some_waiting
"""

_READY: Final = "document not in (select number from documents where tenant_id = %(tenant)s and state <> 'ready')"
_AMONG: Final = "(%(numbers)s::bigint[] is null or document = any (%(numbers)s::bigint[]))"

# No statement may take a sequential scan, and each has one index that gives its rows. Sorting is no choice but a need
# where everything is compared; where the index gives the order, a plan that sorts is one that does not use it.
_SETTINGS: Final = """
    select set_config(name, value, true) from (values
        ('enable_seqscan', 'off'), ('max_parallel_workers_per_gather', '0'), ('enable_sort', {sort}),
        ('enable_hashjoin', {join}), ('enable_mergejoin', {join}), ('plan_cache_mode', 'force_custom_plan'),
        ('hnsw.iterative_scan', 'relaxed_order'), ('hnsw.ef_search', %(ef_search)s::text),
        ('hnsw.max_scan_tuples', '200000'), ('hnsw.scan_mem_multiplier', '4')
    ) as wanted (name, value)
"""
_COMPARE_ALL: Final = f"""
    with compared as materialized (
        select chunk, vector <=> %(vector)s::halfvec as distance from embeddings
        where tenant_id = %(tenant)s and model = {{model}} and {_READY}
    )
    select chunk, 1 - distance as similarity from compared order by distance, chunk limit %(most)s
"""  # noqa: S608
_COMPARE_DOCUMENTS: Final = """
    with compared as materialized (
        select e.chunk, e.vector <=> %(vector)s::halfvec as distance
        from documents d join embeddings e
            on e.tenant_id = %(tenant)s and e.model = {model} and e.document = d.number
        where d.tenant_id = %(tenant)s and d.state = 'ready'
            and (%(numbers)s::bigint[] is null or d.number = any (%(numbers)s::bigint[]))
    )
    select chunk, 1 - distance as similarity from compared order by distance, chunk limit %(most)s
"""
_ASK_INDEX: Final = f"""
    with indexed as materialized (
        select chunk, vector::halfvec({{dimensions}}) <=> %(vector)s::halfvec({{dimensions}}) as distance
        from embeddings where tenant_id = %(tenant)s and model = {{model}} and indexed and {_READY} and {_AMONG}
        order by vector::halfvec({{dimensions}}) <=> %(vector)s::halfvec({{dimensions}}) limit %(most)s
    ), waiting as materialized (
        select chunk, vector <=> %(vector)s::halfvec as distance
        from embeddings where tenant_id = %(tenant)s and model = {{model}} and not indexed and {_READY} and {_AMONG}
    )
    select chunk, 1 - distance as similarity from (table indexed union all table waiting) as found
    order by distance, chunk limit %(most)s
"""  # noqa: S608

_STATEMENTS: Final = {Way.ALL: _COMPARE_ALL, Way.DOCUMENTS: _COMPARE_DOCUMENTS, Way.INDEX: _ASK_INDEX}


def settings(way: Way) -> bytes:
    """What holds until the end of the transaction."""
    sort = "'off'" if way is Way.INDEX else "'on'"
    join = "'off'" if way is Way.DOCUMENTS else "'on'"
    return _SETTINGS.format(sort=sort, join=join).encode()


def nearest(way: Way, *, model: int, dimensions: int) -> bytes:
    """The passages nearest to %(vector)s."""
    return _STATEMENTS[way].format(model=int(model), dimensions=int(dimensions)).encode()
