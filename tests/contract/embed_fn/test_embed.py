"""Embed over the wire: what comes back, what is refused, and what is asked of the model server for it."""

import asyncio
import math

import pytest
from devstack.model_server.embedding import embed as dev_vector
from dormouse.common.v1.error_pb2 import ErrorReason

from tests.contract.embed_fn.caller import Caller, calling, embed_requests, refusal, slow_down, wait_for_requests
from tests.stack import EmbedFn, Fleet, ModelServer, Stack, Tenant

TOO_LONG = "word " * 33_000


async def test_every_input_has_its_vector_in_order(caller: Caller) -> None:
    texts = [f"the dormouse sleeps in tree {number}" for number in range(100)]
    answer = await caller.embed(texts)
    assert answer.model == "dormouse-dev-embed"
    assert len(answer.embeddings) == len(texts)
    for text, embedding in zip(texts, answer.embeddings, strict=True):
        assert list(embedding.values) == pytest.approx(dev_vector(text), abs=1e-6)
        assert embedding.token_count > 0
        assert not embedding.error


async def test_dimensions_shorten_and_keep_the_length_of_one(caller: Caller) -> None:
    whole = (await caller.embed(["a nut for the winter"])).embeddings[0].values
    short = (await caller.embed(["a nut for the winter"], dimensions=64)).embeddings[0].values
    assert len(whole) == 384
    assert len(short) == 64
    assert math.hypot(*short) == pytest.approx(1, abs=1e-5)
    front = math.hypot(*whole[:64])
    assert list(short) == pytest.approx([value / front for value in whole[:64]], abs=1e-5)


async def test_an_input_that_cannot_be_embedded_fails_alone(caller: Caller) -> None:
    texts = [f"passage {number} of a manual" for number in range(40)]
    texts[7], texts[23] = "", TOO_LONG
    answer = await caller.embed(texts)
    failed = {number: embedding.error for number, embedding in enumerate(answer.embeddings) if embedding.error}
    assert failed == {7: "The input is empty.", 23: "The text is longer than the model takes."}
    assert all(embedding.values for number, embedding in enumerate(answer.embeddings) if number not in failed)
    assert not any(answer.embeddings[number].values for number in failed)


async def test_the_one_text_that_is_too_long_is_found_with_few_requests(
    model_server: ModelServer, caller: Caller
) -> None:
    await caller.embed([*(f"short {number}" for number in range(63)), TOO_LONG])
    assert len(await embed_requests(model_server)) <= 13


async def test_equal_texts_are_embedded_once_and_remembered(
    model_server: ModelServer, embed_fn: EmbedFn, caller: Caller, stack: Stack
) -> None:
    answer = await caller.embed(["same", "other", "same"])
    assert answer.embeddings[0] == answer.embeddings[2]
    assert await caller.embed(["other", "same"])
    assert [request["input"] for request in await embed_requests(model_server)] == [["same", "other"]]
    other = await stack.database.tenant()
    async with calling(stack, embed_fn, other) as stranger:
        await stranger.embed(["same"])
    assert len(await embed_requests(model_server)) == 2, "a tenant must not profit from another's texts"
    assert 'dormouse_embedding_inputs_total{model="dormouse-dev-embed",source="memory"}' in await embed_fn.metrics()


async def test_what_arrives_during_a_batch_forms_the_next(model_server: ModelServer, caller: Caller) -> None:
    await slow_down(model_server, 300)
    calls = [asyncio.create_task(caller.embed(["first"]))]
    await wait_for_requests(model_server, state="streaming")
    calls += [asyncio.create_task(caller.embed([f"later {number}"])) for number in range(20)]
    answers = await asyncio.gather(*calls)
    assert list(answers[5].embeddings[0].values) == pytest.approx(dev_vector("later 4"), abs=1e-6)
    requests = await embed_requests(model_server)
    assert [len(request["input"]) for request in requests] == [1, 20]


async def test_batches_are_bounded_by_count_and_by_tokens(
    fleet: Fleet, model_server: ModelServer, stack: Stack, tenant: Tenant
) -> None:
    limits = {"DORMOUSE_EMBED_BATCH_INPUTS": "8", "DORMOUSE_EMBED_BATCH_TOKENS": "100"}
    embed_fn = await fleet.embed_fn(model_server, env=limits)
    async with calling(stack, embed_fn, tenant) as caller:
        await caller.embed([str(number) for number in range(20)])
        await caller.embed(["x" * 199 + str(number) for number in range(5)])
        await caller.embed(["larger than a batch" * 100])
    assert [len(request["input"]) for request in await embed_requests(model_server)] == [8, 8, 4, 1, 1, 1, 1, 1, 1]


async def test_a_tenant_that_floods_does_not_hold_up_the_others(
    model_server: ModelServer, embed_fn: EmbedFn, caller: Caller, stack: Stack
) -> None:
    await slow_down(model_server, 80)
    other = await stack.database.tenant()
    async with calling(stack, embed_fn, other) as patient:
        flooding = asyncio.create_task(caller.embed([f"text {number}" for number in range(1024)]))
        await wait_for_requests(model_server, state="streaming")
        await patient.embed(["a single text"])
        assert not flooding.done()
        assert len((await flooding).embeddings) == 1024
    requests = await embed_requests(model_server)
    place = next(number for number, request in enumerate(requests) if "a single text" in request["input"])
    assert place <= 3
    assert len(requests) == 17
    assert len(requests[place]["input"]) == 64, "who floods has the rest of the batch"


async def test_a_caller_that_leaves_takes_its_texts_along(model_server: ModelServer, caller: Caller) -> None:
    await slow_down(model_server, 900)
    call = asyncio.create_task(caller.embed([f"text {number}" for number in range(200)]))
    await wait_for_requests(model_server, state="streaming")
    call.cancel()
    await wait_for_requests(model_server, state="aborted")
    await slow_down(model_server, 0)
    assert (await caller.embed(["still serving"])).embeddings[0].values
    assert [len(request["input"]) for request in await embed_requests(model_server)] == [64, 1]


@pytest.mark.parametrize(
    ("inputs", "options", "reason"),
    [
        ([], {}, ErrorReason.ERROR_REASON_INVALID_ARGUMENT),
        (["x"] * 2049, {}, ErrorReason.ERROR_REASON_INVALID_ARGUMENT),
        (["x" * 1_000_000 + str(number) for number in range(9)], {}, ErrorReason.ERROR_REASON_INVALID_ARGUMENT),
        (["x"], {"dimensions": 385}, ErrorReason.ERROR_REASON_INVALID_ARGUMENT),
        (["x"], {"model": "nope"}, ErrorReason.ERROR_REASON_MODEL_NOT_FOUND),
        (["x"], {"model": "n" * 5000}, ErrorReason.ERROR_REASON_MODEL_NOT_FOUND),
        (["x"], {"model": "dormouse-dev"}, ErrorReason.ERROR_REASON_MODEL_CAPABILITY_MISSING),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(
    caller: Caller, inputs: list[str], options: dict[str, object], reason: int
) -> None:
    error = await refusal(caller.embed(inputs, **options))  # type: ignore[arg-type]
    assert error.reason == reason, error


async def test_a_model_is_found_with_and_without_its_tag(caller: Caller) -> None:
    for name in ("dormouse-dev-embed", "dormouse-dev-embed:latest"):
        assert (await caller.embed(["x"], model=name)).model == "dormouse-dev-embed"


async def test_scopes_decide_who_may_embed(stack: Stack, embed_fn: EmbedFn, tenant: Tenant) -> None:
    async with calling(stack, embed_fn, tenant, scopes=("documents:read",)) as caller:
        assert (await caller.embed(["x"])).embeddings
    async with calling(stack, embed_fn, tenant, scopes=("tools",)) as caller:
        assert (await refusal(caller.embed(["x"]))).reason == ErrorReason.ERROR_REASON_PERMISSION_DENIED
    async with calling(stack, embed_fn, tenant, audience="tool_fn") as caller:
        assert (await refusal(caller.embed(["x"]))).reason == ErrorReason.ERROR_REASON_UNAUTHENTICATED
