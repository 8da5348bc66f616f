"""What surrounds a model: its name and length, prefixes, shorter vectors, the cache in memory."""

from array import array
from typing import Any

import pytest
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from embed_fn.embedding.cache import Key, Memory
from embed_fn.embedding.models import Models
from embed_fn.embedding.port import EmbeddingModel, Item, Purpose
from embed_fn.embedding.prefixes import prefix
from embed_fn.embedding.vectors import shortened
from embed_fn.settings import Settings

from tests.unit.embed_fn.ollama_peer import ollama


def shown(*abilities: str, **info: Any) -> dict[str, Any]:
    return {"capabilities": list(abilities), "model_info": {name.replace("__", "."): info[name] for name in info}}


async def test_without_a_name_the_first_model_that_embeds_is_meant() -> None:
    async with ollama() as (peer, client):
        peer.models = [
            {"name": "llama:8b", "digest": "1" * 64},
            {"name": "nomic:latest", "digest": "sha256:" + "2" * 64},
        ]
        peer.shown["llama:8b"] = shown("completion")
        peer.shown["nomic:latest"] = shown("embedding", bert__embedding_length=768, bert__context_length=2048)
        models = Models(client, "")
        assert await models.find("") == EmbeddingModel("nomic", "2" * 12, 768, 2048)
        with pytest.raises(DormouseError) as caught:
            await models.find("llama:8b")
        assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_CAPABILITY_MISSING
        with pytest.raises(DormouseError) as caught:
            await models.find("gone")
        assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_NOT_FOUND
        await models.aclose()


async def test_a_model_that_does_not_tell_its_length_is_asked_for_a_vector() -> None:
    async with ollama() as (peer, client):
        peer.shown["old"] = {"model_info": {}}
        models = Models(client, "old")
        assert (await models.find("")).dimensions == 2
        assert peer.batches == [["length"]]
        await models.aclose()


@pytest.mark.parametrize(
    ("model", "query", "document"),
    [
        ("nomic-embed-text", "search_query: ", "search_document: "),
        ("hf.co/nomic-ai/nomic-embed-text-v1.5-GGUF:F16", "search_query: ", "search_document: "),
        ("jeffh/intfloat-multilingual-e5-large:f16", "query: ", "passage: "),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("mxbai-embed-large", "Represent this sentence for searching relevant passages: ", ""),
        ("bge-m3", "", ""),
        ("all-minilm", "", ""),
        ("dormouse-dev-embed", "", ""),
    ],
)
def test_models_get_the_prefixes_that_they_were_trained_with(model: str, query: str, document: str) -> None:
    assert prefix(model, Purpose.QUERY) == query
    assert prefix(model, Purpose.DOCUMENT) == document
    assert prefix(model, Purpose.AS_IT_IS) == ""


def test_a_vector_of_nothing_but_zeros_can_be_shortened() -> None:
    assert list(shortened(array("f", [0, 0, 1]), 2)) == [0, 0]
    assert list(shortened(array("f", [3, 4, 1]), 2)) == pytest.approx([0.6, 0.8])


def test_the_memory_is_bounded_and_forgets_what_was_used_the_longest_ago() -> None:
    memory = Memory(4 * (400 + 40))
    entries = [(Key("t", "m", bytes([number])), Item(array("f", [0.0] * 10))) for number in range(5)]
    memory.put(entries[:4])
    memory.get(entries[0][0])
    memory.put(entries[4:])
    memory.put(entries[4:])
    assert [memory.get(key) is not None for key, _ in entries] == [True, False, True, True, True]
    assert memory.bytes == 4 * (400 + 40)


def test_a_tenant_sees_nothing_of_another_ones_memory() -> None:
    memory = Memory(10_000)
    memory.put([(Key("a", "m", b"1"), Item(array("f", [1.0])))])
    assert memory.get(Key("b", "m", b"1")) is None


def test_settings_have_defaults_and_bounds() -> None:
    settings = Settings.from_env({})
    assert (settings.ollama_url, settings.embed_model, settings.batch_inputs) == ("http://127.0.0.1:11434", "", 64)
    for name, value in (("DORMOUSE_EMBED_BATCH_INPUTS", "0"), ("DORMOUSE_EMBED_CACHE_MB", "lots")):
        with pytest.raises(ValueError, match=name):
            Settings.from_env({name: value})
