"""What models want to find before a text, from their model cards: they were trained with it, and find less without.

A model that is not in the table gets texts as they are. Ollama's own templates add nothing.
"""

import re
from typing import Final, NamedTuple

from embed_fn.embedding.port import Purpose


class Prefixes(NamedTuple):
    """Before a question, and before a passage."""

    query: str = ""
    document: str = ""


_SENTENCE: Final = "Represent this sentence for searching relevant passages: "
_NONE: Final = Prefixes()
# The first that fits; looked for in the name without its folder and tag, in lower case.
_TABLE: Final = (
    (re.compile(r"nomic-embed-text"), Prefixes("search_query: ", "search_document: ")),
    (re.compile(r"\be5\b.*instruct"), Prefixes(
        "Instruct: Given a question, retrieve passages that answer it\nQuery: ")),
    (re.compile(r"\be5\b"), Prefixes("query: ", "passage: ")),
    (re.compile(r"embedding-?gemma"), Prefixes("task: search result | query: ", "title: none | text: ")),
    (re.compile(r"qwen3-embedding"), Prefixes("Instruct: Given a question, retrieve passages that answer it\nQuery:")),
    (re.compile(r"arctic-embed-?(l-|m-)?(2|v2)"), Prefixes("query: ")),
    (re.compile(r"arctic-embed|mxbai-embed|bge-(small|base|large)-en"), Prefixes(_SENTENCE)),
)  # fmt: skip


def prefix(model: str, purpose: Purpose) -> str:
    """What goes before a text for this model, as Ollama names it; often nothing."""
    if purpose is Purpose.AS_IT_IS:
        return ""
    name = model.lower().rpartition("/")[2].partition(":")[0]
    prefixes = next((found for pattern, found in _TABLE if pattern.search(name)), _NONE)
    return prefixes.query if purpose is Purpose.QUERY else prefixes.document
