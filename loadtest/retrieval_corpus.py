"""Made-up documents for the benchmark of retrieval: text with the word frequencies of prose, and clustered vectors."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from embed_fn.store.records import NewDocument

DIMENSIONS = 384
RECIPE = "retrieval-benchmark"
_WORDS = 30_000
_WORDS_PER_CHUNK = 130
_CHUNKS_PER_CLUSTER = 40
_SPREAD = 0.6
"""Of a vector around its cluster's centre, in parts of the centre's length."""
_CONSONANTS, _VOWELS = "bcdfghjklmnpqrstvwxz", "aeiou"


@dataclass(frozen=True, slots=True)
class SyntheticChunk:
    """See embed_fn.store.records.NewChunk."""

    number: int
    text: str
    start: int
    end: int
    headings: Sequence[str] = field(default_factory=tuple)
    first_page: int = 0
    last_page: int = 0


class Corpus:
    """Everything follows from the seed. `vectors` has one for each passage, in the order of the documents."""

    def __init__(self, tenant: str, chunks: int, *, seed: int, document: int = 200) -> None:
        self.tenant = tenant
        self.chunks = chunks
        self._document = document
        self._random = np.random.default_rng(seed)
        self._vocabulary = [_word(number) for number in range(_WORDS)]
        frequencies = 1 / np.arange(1, _WORDS + 1)
        self._cumulated = np.cumsum(frequencies / frequencies.sum())
        self._centres = _unit(self._random.normal(size=(max(chunks // _CHUNKS_PER_CLUSTER, 8), DIMENSIONS)))
        self.vectors = self._around_centres(chunks)

    def documents(self) -> Iterator[tuple[NewDocument, list[SyntheticChunk]]]:
        """Each with its passages."""
        for first in range(0, self.chunks, self._document):
            count = min(self._document, self.chunks - first)
            name = f"{self.tenant}-{first}"
            metadata = {"tenth": str(first // self._document % 10)}
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            new = NewDocument(f"file-{name}", f"{name}.txt", count * 1000, sha256, RECIPE, metadata)
            yield new, [self._chunk(number) for number in range(count)]

    def questions(self, count: int) -> list[tuple[str, array[float]]]:
        """Words as one asks for them, rarer ones oftener than in a text, and a vector near the passages."""
        asked = self._words(count * 6, flat=0.5).reshape(count, 6)
        texts = [" ".join(self._vocabulary[number] for number in row) for row in asked]
        return list(zip(texts, [floats(row) for row in self._around_centres(count)], strict=True))

    def _chunk(self, number: int) -> SyntheticChunk:
        text = " ".join(self._vocabulary[word] for word in self._words(_WORDS_PER_CHUNK))
        return SyntheticChunk(number, text, number * 1000, number * 1000 + len(text))

    def _words(self, count: int, *, flat: float = 1.0) -> npt.NDArray[np.int64]:
        drawn = np.searchsorted(self._cumulated, self._random.random(count) ** flat)
        return np.minimum(drawn, _WORDS - 1)

    def _around_centres(self, count: int) -> npt.NDArray[np.float32]:
        chosen = self._centres[self._random.integers(0, len(self._centres), count)]
        noise = self._random.normal(size=(count, DIMENSIONS)) * (_SPREAD / DIMENSIONS**0.5)
        return _unit(chosen + noise).astype(np.float32)


def floats(vector: npt.NDArray[np.float32]) -> array[float]:
    """As the store takes it."""
    return array("f", vector.tobytes())


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lengths: npt.NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def _word(number: int) -> str:
    syllables = []
    while True:
        number, consonant = divmod(number, len(_CONSONANTS))
        number, vowel = divmod(number, len(_VOWELS))
        syllables.append(_CONSONANTS[consonant] + _VOWELS[vowel])
        if not number:
            return "".join(syllables) + "rt"
