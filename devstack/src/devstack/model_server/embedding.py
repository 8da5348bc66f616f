"""Embeddings without a model: texts that share words lie close together."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import Counter

from devstack.model_server.catalog import EMBEDDING_LENGTH
from devstack.model_server.words import STOP_WORDS, stem, words

_SIGNS = 12


def embed(text: str, dimensions: int = EMBEDDING_LENGTH) -> list[float]:
    """A vector of length 1: a random projection of the words' stems, then cut to `dimensions`."""
    vector = [0.0] * EMBEDDING_LENGTH
    for word, count in Counter(words(text)).items():
        weight = (0.15 if word in STOP_WORDS else 1.0) * (1 + math.log(count))
        for position, sign in _directions(stem(word)):
            vector[position] += sign * weight
    vector = vector[:dimensions]
    norm = math.sqrt(sum(value * value for value in vector))
    if not norm:
        return [1.0] + [0.0] * (len(vector) - 1)
    return [value / norm for value in vector]


@functools.lru_cache(maxsize=50_000)
def _directions(word: str) -> tuple[tuple[int, float], ...]:
    digest = hashlib.blake2b(word.encode(errors="replace"), digest_size=3 * _SIGNS).digest()
    return tuple(
        (
            int.from_bytes(digest[at : at + 2], "little") % EMBEDDING_LENGTH,
            1.0 if digest[at + 2] & 1 else -1.0,
        )
        for at in range(0, len(digest), 3)
    )
