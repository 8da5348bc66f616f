"""The SQL of searches: each a call of one function of the database, which takes the tenant, so that one statement is a
whole transaction (see the migrations' revision 13)."""

from typing import Final

LIBRARY: Final = """
    select * from library_to_search(
        %(tenant)s, %(wanted)s::jsonb, %(ids)s::text[], %(compared)s, %(most_waiting)s
    )
"""
NEAREST: Final = """
    select chunk, similarity from nearest_passages(
        %(tenant)s, %(model)s, %(dimensions)s, %(vector)s::halfvec, %(way)s, %(wanted)s::jsonb, %(ids)s::text[],
        %(most)s, %(ef_search)s
    )
"""
MATCHING: Final = """
    select chunk, score from matching_passages(
        %(tenant)s, %(question)s, %(wanted)s::jsonb, %(ids)s::text[], %(most)s, %(matched)s
    )
"""
PASSAGES: Final = "select * from found_passages(%(tenant)s, %(keys)s::bigint[])"
