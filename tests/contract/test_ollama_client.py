"""The official Ollama client, sync and async, gets on with the development model server."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest
from devstack.model_server.server import serving
from devstack.model_server.settings import Settings, Simulation

MODEL = "dormouse-dev"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n not really").decode()


class Caller:
    """One interface over the two clients; streams come back as lists."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        method = getattr(self._client, name)
        if inspect.iscoroutinefunction(method):
            found = await method(*args, **kwargs)
            return [part async for part in found] if inspect.isasyncgen(found) else found

        def blocking() -> Any:
            found = method(*args, **kwargs)
            return list(found) if inspect.isgenerator(found) else found

        return await asyncio.to_thread(blocking)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    simulation = Simulation(ttft_ms=1, token_ms=0, pull_ms=0)
    async with serving(Settings(port=0, simulation=simulation)) as address:
        yield f"http://{address}"


@pytest.fixture(params=["sync", "async"])
async def call(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Caller]:
    if request.param == "sync":
        with ollama.Client(url) as client:
            yield Caller(client)
    else:
        async with ollama.AsyncClient(url) as client:
            yield Caller(client)


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def add_two_numbers(a: int, b: int) -> int:
    """Add two numbers.

    Args:
      a: the first number
      b: the second number
    """
    return a + b


async def test_chat_says_what_it_is_and_counts_tokens_and_time(call: Caller) -> None:
    response = await call("chat", MODEL, said("Who are you?"))
    assert "not a language model" in response.message.content
    assert response.model == MODEL
    assert response.done
    assert response.done_reason == "stop"
    assert response.eval_count > 20
    assert response.prompt_eval_count > 3
    assert response.total_duration >= response.prompt_eval_duration > 0
    assert response.load_duration >= 0
    assert response.eval_duration >= 0


async def test_a_streamed_chat_joins_to_the_whole_answer(call: Caller) -> None:
    whole = await call("chat", MODEL, said("Explain how rain is made"))
    parts = await call("chat", MODEL, said("Explain how rain is made"), stream=True)
    assert "".join(part.message.content for part in parts) == whole.message.content
    assert 60 <= len(parts) - 1 == parts[-1].eval_count == whole.eval_count <= 150
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].done_reason == "stop"


async def test_chat_calls_a_python_function_that_was_given_as_a_tool(call: Caller) -> None:
    messages = said("Please add 17 and 25 as two numbers")
    response = await call("chat", MODEL, said("Please add the numbers 17, 25"), tools=[add_two_numbers])
    (wanted,) = response.message.tool_calls
    assert wanted.function.name == "add_two_numbers"
    assert wanted.function.arguments == {"a": 17, "b": 25}
    messages += [response.message, {"role": "tool", "tool_name": "add_two_numbers", "content": "42"}]
    final = await call("chat", MODEL, messages, tools=[add_two_numbers])
    assert "add_two_numbers returned: 42" in final.message.content
    assert not final.message.tool_calls


async def test_streamed_tool_calls_arrive_before_the_end(call: Caller) -> None:
    parts = await call("chat", MODEL, said("add the numbers 1, 2"), tools=[add_two_numbers], stream=True)
    assert [bool(part.message.tool_calls) for part in parts] == [True, False]
    assert parts[-1].done


async def test_chat_fills_a_json_schema(call: Caller) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    response = await call("chat", MODEL, said("The town is in Oslo"), format=schema)
    assert response.message.content == '{"city":"Oslo"}'
    assert (await call("chat", MODEL, said("hi"), format="json")).message.content.startswith("{")


@pytest.mark.parametrize("think", [True, "low"])
async def test_thinking_comes_apart_from_the_answer(call: Caller, think: bool | str) -> None:
    plain = await call("chat", MODEL, said("What is glue?"))
    parts = await call("chat", MODEL, said("What is glue?"), think=think, stream=True)
    assert "glue" in "".join(part.message.thinking or "" for part in parts)
    assert "".join(part.message.content or "" for part in parts) == plain.message.content
    assert plain.message.thinking is None


async def test_images_are_accepted(call: Caller) -> None:
    message = {"role": "user", "content": "What is on this picture?", "images": [PIXEL]}
    assert (await call("chat", MODEL, [message])).message.content
    assert (await call("generate", MODEL, "What is on this picture?", images=[PIXEL])).response


async def test_options_limit_stop_and_vary_the_answer(call: Caller) -> None:
    messages = said("Explain tides")
    short = await call("chat", MODEL, messages, options={"num_predict": 5})
    assert (short.eval_count, short.done_reason) == (5, "length")
    stopped = await call("chat", MODEL, messages, options=ollama.Options(stop=["development"]))
    assert stopped.message.content.endswith("I am a ")
    assert stopped.done_reason == "stop"
    answers = {(await call("chat", MODEL, messages, options={"seed": seed})).message.content for seed in (1, 2, 1)}
    assert len(answers) == 2


async def test_generate_answers_whole_and_streamed(call: Caller) -> None:
    whole = await call("generate", MODEL, "Explain tides", system="Be kind.")
    parts = await call("generate", MODEL, "Explain tides", system="Be kind.", stream=True, think=True)
    assert "".join(part.response for part in parts) == whole.response
    assert "tides" in "".join(part.thinking or "" for part in parts)
    assert parts[-1].eval_count > whole.eval_count > 0
    assert (await call("generate", MODEL, "x", format="json")).response.startswith("{")


async def test_a_call_without_messages_loads_and_unloads_the_model(call: Caller) -> None:
    assert (await call("chat", MODEL)).done_reason == "load"
    assert [model.model for model in (await call("ps")).models] == ["dormouse-dev:latest"]
    assert (await call("generate", MODEL, keep_alive=0)).done_reason == "unload"
    assert (await call("ps")).models == []
    await call("generate", MODEL, keep_alive="10m")
    (model,) = (await call("ps")).models
    assert model.context_length == 4096
    assert model.expires_at is not None


async def test_embeddings_have_384_dimensions_and_length_one(call: Caller) -> None:
    response = await call("embed", "dormouse-dev-embed", ["a red apple", "an apple that is red", "steam engines"])
    apple, same, other = response.embeddings
    assert {len(vector) for vector in response.embeddings} == {384}
    assert sum(value * value for value in apple) == pytest.approx(1)
    assert dot(apple, same) > 0.8 > 0.3 > dot(apple, other)
    single = await call("embed", "dormouse-dev-embed", "a red apple", dimensions=64, truncate=True)
    assert len(single.embeddings[0]) == 64
    assert (await call("embeddings", "dormouse-dev-embed", "a red apple")).embedding == apple


async def test_models_are_listed_and_described(call: Caller) -> None:
    models = {model.model: model for model in (await call("list")).models}
    assert next(iter(models)) == "dormouse-dev:latest"
    assert models["sim:latest"].size > 0
    assert models["sim:latest"].modified_at is not None
    shown = await call("show", MODEL)
    assert set(shown.capabilities) == {"completion", "tools", "thinking", "vision"}
    assert "$last" in shown.template
    assert shown.modelinfo["dormouse-dev.context_length"] >= 4096
    assert "$last" not in (await call("show", "dormouse-dev-noprefill")).template
    embedder = await call("show", "dormouse-dev-embed")
    assert embedder.capabilities == ["embedding"]
    assert embedder.modelinfo["dormouse-dev.embedding_length"] == 384


async def test_models_are_copied_deleted_created_and_pulled(call: Caller) -> None:
    assert (await call("copy", MODEL, "mine")).status == "success"
    assert (await call("chat", "mine", said("hi"))).message.content.startswith("Hello! This is mine,")
    assert (await call("delete", "mine")).status == "success"
    assert (await call("create", "other", from_=MODEL)).status == "success"
    assert [part.status for part in await call("create", "third", from_=MODEL, stream=True)][-1] == "success"
    await call("delete", MODEL)
    with pytest.raises(ollama.ResponseError):
        await call("chat", MODEL, said("hi"))
    parts = await call("pull", MODEL, stream=True)
    assert parts[0].status == "pulling manifest"
    done = [part.completed for part in parts if part.completed]
    assert done == sorted(done)
    assert done[-1] == parts[1].total
    assert parts[-1].status == "success"
    assert (await call("pull", MODEL)).status == "success"
    assert (await call("chat", MODEL, said("hi"))).message.content


async def test_system_one_answers_every_kind_of_question(call: Caller) -> None:
    questions = {
        "label": {
            "type": "choice",
            "instructions": "Which label fits?",
            "criteria": {"billing": "payments and refunds", "bug": "software errors", "account": None},
        },
        "urgent": {"type": "noul", "instructions": "Is checkout broken?"},
        "harm": {"type": "score", "instructions": "How bad?", "criteria": ["nothing", "some errors", "all is lost"]},
    }
    response = await call("systemone", MODEL, "Our checkout shows software errors since nine", questions)
    assert response.answers["label"].choice == "bug"
    assert sum(response.answers["label"].probabilities.values()) == pytest.approx(1)
    assert response.answers["urgent"].noul > 0.5
    assert 0 <= response.answers["harm"].score <= 2
    assert response.usage.output_tokens == 3


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "status", "words"),
    [
        ("chat", ["nope", said("hi")], {}, 404, "model 'nope' not found"),
        ("chat", ["dormouse-dev-embed", said("hi")], {}, 400, "does not support chat"),
        ("chat", ["sim", said("hi")], {"tools": [add_two_numbers]}, 400, "does not support tools"),
        ("chat", ["sim", said("hi")], {"think": True}, 400, "does not support thinking"),
        ("generate", [MODEL, "a"], {"suffix": "b"}, 400, "does not support insert"),
        ("embed", [MODEL, "a"], {}, 400, "does not support embeddings"),
        ("show", ["nope"], {}, 404, "not found"),
        ("delete", ["nope"], {}, 404, "not found"),
        ("copy", ["nope", "x"], {}, 404, "not found"),
        ("pull", ["nope"], {}, 404, "not found"),
        ("push", [MODEL], {}, 501, "no registry"),
        ("create", ["new"], {"files": {"a": "b"}}, 400, "no weights"),
        ("create_blob", [__file__], {}, 501, "no blobs"),
    ],
)
async def test_refusals_are_typed_errors_with_a_reason(
    call: Caller, name: str, args: list[Any], kwargs: dict[str, Any], status: int, words: str
) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        await call(name, *args, **kwargs)
    assert caught.value.status_code == status
    assert words in caught.value.error


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
