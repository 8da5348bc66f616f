"""POST /v1/embeddings as clients use it: the openai SDK, LangChain's OpenAIEmbeddings, and bare HTTP."""

import asyncio
import base64
import hashlib
import lzma
import math
import random
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from devstack.model_server.embedding import embed as dev_vector
from edge.openai import token_texts
from langchain_openai import OpenAIEmbeddings
from openai import AsyncOpenAI
from pydantic import SecretStr

from tests.clients.simulation import steering
from tests.stack import Edge, Platform, Stack, Tenant

MODEL = "dormouse-dev-embed"
# Of tiktoken's cl100k_base.
DORMOUSE_TOKENS = [32, 30209, 1559]
DORMOUSE_TEXT = "A dormouse"


@pytest.fixture(scope="module")
async def edge(stack: Stack, platform: Platform) -> AsyncIterator[Edge]:
    async with stack.fleet() as fleet:
        embed_fn = await fleet.embed_fn(platform.model_server, env={"DORMOUSE_MODEL_READ_TIMEOUT_S": "5"})
        yield await fleet.edge(platform.agent_fn, embed=embed_fn)


@pytest.fixture
async def client(edge: Edge, tenant: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=tenant.api_key, base_url=f"{edge.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
async def http(edge: Edge, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(tenant) as http:
        yield http


async def test_the_sdk_gets_vectors_as_it_asks_by_default_and_as_floats(client: AsyncOpenAI) -> None:
    texts = ["What is a dormouse?", "A small rodent."]
    by_default = await client.embeddings.create(model=MODEL, input=texts)
    as_floats = await client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert (by_default.model, by_default.object) == (MODEL, "list")
    assert [item.index for item in by_default.data] == [0, 1]
    assert by_default.usage.prompt_tokens == by_default.usage.total_tokens > 0
    for text, one, other in zip(texts, by_default.data, as_floats.data, strict=True):
        assert one.embedding == pytest.approx(dev_vector(text), abs=1e-6)
        assert one.embedding == other.embedding


async def test_base64_is_32_bit_floats_little_endian(http: httpx.AsyncClient) -> None:
    body = {"model": MODEL, "input": "a", "encoding_format": "base64"}
    item = (await http.post("/v1/embeddings", json=body)).json()["data"][0]
    values = array("f", base64.b64decode(item["embedding"]))
    assert list(values) == pytest.approx(dev_vector("a"), abs=1e-6)


async def test_dimensions_shorten(client: AsyncOpenAI) -> None:
    short = (await client.embeddings.create(model=MODEL, input="a nut", dimensions=64)).data[0].embedding
    assert len(short) == 64
    assert math.hypot(*short) == pytest.approx(1, abs=1e-5)


async def test_tokens_stand_for_their_text(client: AsyncOpenAI) -> None:
    text = (await client.embeddings.create(model=MODEL, input=DORMOUSE_TEXT)).data[0].embedding
    tokens = await client.embeddings.create(model=MODEL, input=DORMOUSE_TOKENS)
    lists = await client.embeddings.create(model=MODEL, input=[DORMOUSE_TOKENS, DORMOUSE_TOKENS])
    assert [item.embedding for item in (*tokens.data, *lists.data)] == [text] * 3


async def test_many_inputs_come_back_in_order(client: AsyncOpenAI) -> None:
    texts = [f"page {number}" for number in range(1500)]
    answer = await client.embeddings.create(model=MODEL, input=texts)
    assert [item.index for item in answer.data] == list(range(1500))
    for number in (0, 1023, 1024, 1499):
        assert answer.data[number].embedding == pytest.approx(dev_vector(texts[number]), abs=1e-6)


@pytest.mark.parametrize("checks_length", [True, False])
async def test_langchain_embeds_documents_and_questions(
    edge: Edge, tenant: Tenant, checks_length: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend_vocabulary(tmp_path, monkeypatch)
    texts = ["Der Siebenschläfer schläft. 💤", "A dormouse sleeps."]
    async with httpx.AsyncClient() as http:
        embeddings = OpenAIEmbeddings(
            http_async_client=http,
            model=MODEL,
            api_key=SecretStr(tenant.api_key),
            base_url=f"{edge.url}/v1",
            check_embedding_ctx_length=checks_length,
            tiktoken_model_name="text-embedding-3-small" if checks_length else None,
            max_retries=0,
        )
        assert await embeddings.aembed_documents(texts) == [pytest.approx(dev_vector(text), abs=1e-6) for text in texts]
        assert await embeddings.aembed_query(texts[1]) == pytest.approx(dev_vector(texts[1]), abs=1e-6)


async def test_a_model_that_embeds_is_listed(client: AsyncOpenAI) -> None:
    assert f"{MODEL}:latest" in [model.id async for model in client.models.list()]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"input": "x"}, 400, "invalid_argument", "model"),
        ({"model": MODEL}, 400, "invalid_argument", "input"),
        ({"model": MODEL, "input": ""}, 400, "invalid_argument", "input"),
        ({"model": MODEL, "input": []}, 400, "invalid_argument", "input"),
        ({"model": MODEL, "input": ["x", ""]}, 400, "invalid_argument", "input[1]"),
        ({"model": MODEL, "input": ["x", 3]}, 400, "invalid_argument", "input[1]"),
        ({"model": MODEL, "input": ["x"] * 2049}, 400, "invalid_argument", "input"),
        ({"model": MODEL, "input": [-1]}, 400, "invalid_argument", "input[0]"),
        ({"model": MODEL, "input": [[1], [100_256]]}, 400, "invalid_argument", "input[1]"),
        ({"model": MODEL, "input": ["x", "word " * 40_000]}, 400, "invalid_argument", "input[1]"),
        ({"model": MODEL, "input": "x", "dimensions": 385}, 400, "invalid_argument", None),
        ({"model": MODEL, "input": "x", "dimensions": 0}, 400, "invalid_argument", "dimensions"),
        ({"model": MODEL, "input": "x", "encoding_format": "hex"}, 400, "invalid_argument", "encoding_format"),
        ({"model": "nope", "input": "x"}, 404, "model_not_found", None),
        ({"model": "dormouse-dev", "input": "x"}, 400, "model_capability_missing", None),
    ],
)
async def test_what_makes_no_sense_is_refused_in_openais_shape(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = await http.post("/v1/embeddings", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error
    assert error["message"]


async def test_a_model_server_that_fails_is_an_error_that_may_be_retried(
    client: AsyncOpenAI, platform: Platform
) -> None:
    async with steering(platform.model_server) as simulation, simulation.failing("busy", times=0, endpoint="embed"):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.embeddings.create(model=MODEL, input=f"away {random.random()}")
    assert caught.value.status_code == 503
    assert caught.value.code == "model_unavailable"
    assert caught.value.response.headers["x-should-retry"] == "true"


async def test_a_client_that_leaves_ends_the_request_to_the_model_server(
    http: httpx.AsyncClient, platform: Platform
) -> None:
    async with steering(platform.model_server) as simulation, simulation.configured(embed_ms=4000):
        await simulation.forget()
        body = {"model": MODEL, "input": f"left {random.random()}"}
        call = asyncio.create_task(http.post("/v1/embeddings", json=body))
        await simulation.wait("streaming", endpoint="embed")
        call.cancel()
        await simulation.wait("aborted", endpoint="embed")


async def test_a_platform_without_embed_fn_says_so(platform: Platform, tenant: Tenant) -> None:
    async with platform.edge.client(tenant) as http:
        answer = await http.post("/v1/embeddings", json={"model": MODEL, "input": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "function_unavailable")


async def test_a_key_is_needed(edge: Edge) -> None:
    async with edge.client() as http:
        assert (await http.post("/v1/embeddings", json={"model": MODEL, "input": "x"})).status_code == 401


def lend_vocabulary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has tiktoken find its file where it caches downloads. It compares the hash itself."""
    url = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    content = lzma.decompress(token_texts.VOCABULARY.read_bytes())
    (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
