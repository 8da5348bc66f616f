"""A batch at a model server that refuses some of its texts, or answers nonsense."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from embed_fn.embedding.meter import EmbeddingMeter
from embed_fn.embedding.model_calls import ModelCalls
from embed_fn.embedding.port import Item
from embed_fn.embedding.queue import Waiting, estimated_tokens
from embed_fn.ollama.client import OllamaClient

from tests.unit.embed_fn.ollama_peer import Peer, failure, ollama, vectors

TOO_LONG = "the input length exceeds the context length"
Served = tuple[Peer, OllamaClient]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with ollama() as both:
        yield both


async def run(client: OllamaClient, texts: Sequence[str]) -> list[Item]:
    loop = asyncio.get_running_loop()
    batch = [Waiting(text, estimated_tokens(text), loop.create_future()) for text in texts]
    return await ModelCalls(client, "m", EmbeddingMeter()).run(batch)


async def test_items_come_in_the_order_of_their_texts(served: Served) -> None:
    _, client = served
    texts = ["four", "a", "seventeen letters"]
    items = await run(client, texts)
    assert [item.vector[0] for item in items] == [4, 1, 17]
    assert sum(item.token_count for item in items) == 22


async def test_every_text_that_is_too_long_fails_and_no_other(served: Served) -> None:
    peer, client = served
    peer.answer = lambda texts: failure(400, TOO_LONG) if max(map(len, texts)) > 50 else vectors(texts)
    texts = ["x" * length for length in (3, 80, 20, 50, 51, 8, 90, 1)]
    items = await run(client, texts)
    assert [bool(item.error) for item in items] == [len(text) > 50 for text in texts]
    assert [item.vector[0] for item in items if not item.error] == [3, 20, 50, 8, 1]


async def test_a_text_that_makes_the_model_fail_is_found(served: Served) -> None:
    peer, client = served
    peer.answer = lambda texts: failure(500, "EOF") if "poison" in texts else vectors(texts)
    texts = [f"text {number}" for number in range(63)]
    texts.insert(40, "poison")
    items = await run(client, texts)
    assert [number for number, item in enumerate(items) if item.error] == [40]
    assert len(peer.batches) <= 4 + 2 * 6


async def test_a_text_of_which_the_model_makes_no_numbers_is_found_at_once(served: Served) -> None:
    peer, client = served
    nan = "failed to encode response: json: unsupported value: NaN"
    peer.answer = lambda texts: failure(500, nan) if "odd" in texts else vectors(texts)
    items = await run(client, ["fine", "odd", "good"])
    assert [item.error for item in items] == ["", "The model can make nothing of the text.", ""]
    assert len(peer.batches) <= 5


@pytest.mark.parametrize(
    "answer",
    [
        lambda texts: web.json_response({"embeddings": [[1.0, 2.0]]}),  # for two texts
        lambda texts: web.json_response({"embeddings": [[1.0, 2.0], [1.0]]}),
        lambda texts: web.json_response({"embeddings": [[], []]}),
        lambda texts: web.json_response({"embeddings": [[1.0], ["x"]]}),
        lambda texts: web.json_response({"embeddings": None}),
        lambda texts: web.json_response([]),
        lambda texts: web.Response(body=b"<html>"),
        lambda texts: failure(404, "model 'm' not found, try pulling it first"),
    ],
)
async def test_nonsense_is_an_error_and_never_a_vector(
    served: Served, answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embed_fn.embedding.model_calls._AGAIN_AFTER_S", ())
    peer, client = served
    peer.answer = answer  # type: ignore[assignment]
    with pytest.raises(DormouseError) as caught:
        await run(client, ["a", "b"])
    assert caught.value.reason in (
        ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE,
        ErrorReason.ERROR_REASON_MODEL_NOT_FOUND,
    )


async def test_a_question_in_json_is_answered_in_json(served: Served) -> None:
    peer, client = served
    peer.said = '{"queries": ["a", "b"]}'
    schema = {"type": "object", "properties": {"queries": {"type": "array", "items": {"type": "string"}}}}
    messages = [{"role": "user", "content": "rewrite"}]
    assert await client.answer_json("m", messages, schema, timeout_s=2) == {"queries": ["a", "b"]}
    assert peer.chats[0]["format"] == schema
    peer.said = '{"queries": ["a'
    with pytest.raises(DormouseError, match="form that was asked for"):
        await client.answer_json("m", messages, schema, timeout_s=2)
