"""Passages that a model cannot take whole: their beginning counts, and a file that it cannot take at all says so."""

from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from embed_fn.embedding.port import Embedded, EmbeddingModel, Item, Purpose
from embed_fn.ingestion.passage_vectors import PassageVectors
from embed_fn.parsing.errors import UnreadableError
from embed_fn.store.records import Model, Unembedded

MODEL = Model(1, "small", "1", 2)


class SmallModel:
    """Takes so many characters."""

    def __init__(self, most: int, dimensions: int = 2) -> None:
        self.most = most
        self.dimensions = dimensions
        self.asked: list[str] = []

    async def model(self, name: str = "") -> EmbeddingModel:
        return EmbeddingModel("small", "1", 2)

    async def embed(
        self,
        tenant: str,
        texts: Sequence[str],
        *,
        model: str = "",
        dimensions: int = 0,
        purpose: Purpose = Purpose.QUERY,
    ) -> Embedded:
        assert (tenant, model, purpose) == ("t", "small", Purpose.DOCUMENT)
        self.asked += texts
        vector = array("f", [1.0] * self.dimensions)
        items = [Item(vector) if len(text) <= self.most else Item(error="It is too long.") for text in texts]
        return Embedded("small", 2, items)


def vectors(model: SmallModel) -> PassageVectors:
    nothing: Any = None  # `embed` asks no store
    return PassageVectors(model, nothing)


def passage(number: int, characters: int) -> Unembedded:
    return Unembedded(100 + number, number, chr(97 + number) * characters, ("A heading",))


async def test_a_passage_is_embedded_under_its_headings() -> None:
    model = SmallModel(100)
    made = await vectors(model).embed("t", MODEL, [passage(0, 3), passage(1, 3)])
    assert model.asked == ["A heading\naaa", "A heading\nbbb"]
    assert [embedding.key for embedding in made] == [100, 101]


async def test_of_a_passage_that_is_too_long_the_beginning_counts() -> None:
    model = SmallModel(30)
    made = await vectors(model).embed("t", MODEL, [passage(0, 10), passage(1, 100), passage(2, 50)])
    assert [embedding.key for embedding in made] == [100, 101, 102]
    assert all(len(embedding.vector) == 2 for embedding in made)
    assert model.asked[3:] == ["b" * 50, "c" * 25, "b" * 25]


async def test_a_passage_that_no_part_of_can_be_embedded_fails_the_file() -> None:
    with pytest.raises(UnreadableError, match=r"Passage 2 of the file cannot be embedded: It is too long\."):
        await vectors(SmallModel(30)).embed("t", MODEL, [passage(0, 10), passage(1, 2000)])


async def test_vectors_of_another_length_are_never_stored() -> None:
    with pytest.raises(DormouseError) as raised:
        await vectors(SmallModel(30, dimensions=3)).embed("t", MODEL, [passage(0, 10)])
    assert (raised.value.reason, raised.value.retryable) == (ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE, True)
