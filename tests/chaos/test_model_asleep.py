"""A model server that sleeps at zero: nothing but work asks for it, and work waits until it is there."""

import asyncio
import re
import time

import httpx

from tests.stack import Edge, Fleet, Tenant

ASLEEP_S = 3.0
LOOKS_EVERY_S = 5.0


async def demand(edge: Edge) -> float:
    found = re.search(r"^dormouse_edge_model_demand (\S+)$", await edge.metrics(), flags=re.MULTILINE)
    assert found is not None
    return float(found[1])


async def streamed(http: httpx.AsyncClient, model: str) -> str:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Count to 5."}]}
    return (await http.post("/v1/chat/completions", json=body)).text


async def test_work_wakes_the_models_and_waits_for_them_and_questions_do_not(fleet: Fleet, tenant: Tenant) -> None:
    model_address = fleet.address()
    agent_fn, embed_fn = await asyncio.gather(
        fleet.agent_fn(f"http://{model_address}"), fleet.embed_fn(f"http://{model_address}")
    )
    edge = await fleet.edge(agent_fn, embed=embed_fn, env={"DORMOUSE_MODEL_WAKE_S": "30"})
    async with edge.client(tenant) as http:
        began = time.monotonic()
        ready, models, missing = [await http.get(path) for path in ("/readyz", "/v1/models", "/v1/models/nobody")]
        assert (ready.status_code, ready.json()["status"]) == (200, "ready"), ready.text
        assert "sleeps" in ready.json()["components"]["model_server"]["detail"]
        assert "chat" in {model["id"] for model in models.json()["data"]}
        assert missing.status_code == 404
        assert time.monotonic() - began < 2
        assert await demand(edge) == 0

        embedding = await http.post("/v1/embeddings", json={"model": "dormouse-embed", "input": "hazelnuts"})
        assert (embedding.status_code, embedding.headers["retry-after"]) == (503, "30")
        assert "being woken" in embedding.json()["error"]["message"]
        assert await demand(edge) == 1, "who asks seldom sees what was short"

        # One that names no model, and one that names one that nobody can know of yet.
        streams = [asyncio.create_task(streamed(http, model)) for model in ("chat", "dormouse-dev")]
        async with asyncio.timeout(ASLEEP_S):
            while await demand(edge) < 2:
                await asyncio.sleep(0.05)
        assert await demand(edge) == 2, "what has ended counts only where nothing else does"
        await asyncio.sleep(max(0, began + ASLEEP_S - time.monotonic()))
        await fleet.model_server(address=model_address, ttft_ms=1, token_ms=0)
        woken = time.monotonic()
        texts = await asyncio.gather(*streams)
        assert time.monotonic() - woken < LOOKS_EVERY_S + 1
        assert await demand(edge) == 1, "for a while"
    for text in texts:
        assert text.count(": waking models\n\n") == 1
        assert "".join(re.findall(r'"content":"([^"]*)"', text)) == "1, 2, 3, 4, 5"
        assert text.endswith("data: [DONE]\n\n")
