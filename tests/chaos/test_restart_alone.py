"""The only replica dies and is started again under its old name: it finds its own runs and finishes them."""

from tests.stack import Fleet, Tenant

WORDS = "count to 60"


async def test_a_replica_that_comes_back_finishes_what_it_left(fleet: Fleet, tenant: Tenant) -> None:
    model_server = await fleet.model_server(ttft_ms=20, token_ms=20)
    agent_fn = await fleet.agent_fn(model_server)
    edge = await fleet.edge(agent_fn, env={"DORMOUSE_REPLICA_ID": "edge-0", "DORMOUSE_LEASE_S": "0.5"})
    request = {"agent": "chat", "background": True, "input": {"messages": [{"role": "user", "content": WORDS}]}}
    async with edge.client(tenant) as http:
        run = (await http.post("/v1/runs", json=request)).json()
        async with http.stream("GET", f"/v1/runs/{run['id']}/events") as events:
            async for line in events.aiter_lines():
                if line == "event: message.delta":
                    break
    await edge.restart()
    async with edge.client(tenant) as http:
        log = (await http.get(f"/v1/runs/{run['id']}/events")).text
        record = (await http.get(f"/v1/runs/{run['id']}")).json()
    assert log.count("event: run.finished") == 1
    assert record["status"] == "completed"
    assert record["usage"]["completion_tokens"] == 60
