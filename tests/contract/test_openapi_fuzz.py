"""The API under fire: schemathesis makes requests up from the OpenAPI document and holds every answer against it.

Statuses, headers, bodies and the JSON in each server-sent event have to be as documented; what the document forbids has
to be refused, what it allows to be taken; and nothing may end in a 5xx.
"""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Fleet, ModelServer, Platform, Stack, Tenant

EXAMPLES = int(os.environ.get("DORMOUSE_FUZZ_EXAMPLES", "80"))
"""Per operation. Operations that take nothing, or just an id, have fewer."""
FEW = 32

TIMEOUT_S = 240
"""It takes about a minute on two cores that have nothing else to do."""
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")

# One process each; together they take as long as the longer one. Within one, ids from answers go into later requests.
_FIRST = (
    "runAgentAgUi|getModel|createRun|getRun|getRunTrace|resumeRun|streamRunEvents|cancelRun|listRuns|search|listFiles"
)
SHARES = (rf"^({_FIRST})$", rf"^(?!({_FIRST})$)")
WRITING: dict[str, Any] = {
    "agent": "canvas", "input": {"messages": [{"role": "user", "content": "Write a note about owls in Markdown."}]},
}  # fmt: skip


@pytest.fixture
async def instant(fleet: Fleet, stack: Stack) -> Platform:
    """A platform whose model takes no time."""
    model_server: ModelServer = await fleet.model_server(ttft_ms=0, token_ms=0, tokens=3)
    agent_fn = await fleet.agent_fn(model_server)
    embed_fn = await fleet.embed_fn(model_server)
    edge = await fleet.edge(agent_fn, embed=embed_fn, env={"DORMOUSE_FILES": str(stack.database.files)})
    return Platform(model_server, agent_fn, edge)


async def test_no_request_that_can_be_made_up_breaks_the_api_or_its_word(
    instant: Platform, stack: Stack, tenant: Tenant, tmp_path: Path
) -> None:
    own, others = [await _belongings(instant, who) for who in (tenant, await stack.database.tenant())]
    names = {
        "RUN_THAT_HAS_ENDED": own.run,
        "RUN_OF_ANOTHER_TENANT": others.run,
        "THREAD_OF_ANOTHER_TENANT": others.thread,
        "OWN_ARTIFACT": own.artifact,
        "ARTIFACT_OF_ANOTHER_TENANT": others.artifact,
        "OWN_FILE": own.file,
        "FILE_OF_ANOTHER_TENANT": others.file,
        "OWN_KEY": own.key,
        "KEY_OF_ANOTHER_TENANT": others.key,
    }
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        shares = [tasks.create_task(_schemathesis(instant, tenant, share, names, tmp_path)) for share in SHARES]
    for share in shares:
        assert "No issues found" in share.result(), share.result()[-10_000:]
    assert not [line for line in instant.edge.log_lines if '"exception"' in line]
    async with instant.edge.client() as http:
        document = (await http.get("/openapi.json")).json()
    seen = await _requests_by_operation(instant)
    wanted = {name: EXAMPLES if takes_much else FEW for name, takes_much in _operations_with_input(document)}
    del wanted["PUT /v1/budgets"]  # left out: a budget of nothing would refuse the rest
    too_few = {name: seen.get(name, 0) for name, least in wanted.items() if seen.get(name, 0) < min(least, EXAMPLES)}
    assert not too_few, f"asked too seldom: {too_few}; of {seen}"
    assert not re.search(r'_requests_total\{.*status="5', await instant.edge.metrics())


@dataclass(frozen=True, slots=True)
class _Belongings:
    """A run that has ended, the thread it was on, what it wrote there, a file, and an API key that nobody uses."""

    run: str
    thread: str
    artifact: str
    file: str
    key: str


async def _belongings(platform: Platform, tenant: Tenant) -> _Belongings:
    async with platform.edge.client(tenant) as http:
        thread = (await http.post("/v1/threads")).json()["id"]
        run = await http.post(f"/v1/threads/{thread}/runs", json=WRITING)
        (artifact,) = (await http.get("/v1/artifacts")).json()["data"]
        file = (await http.post("/v1/files", files={"file": ("owls.md", b"# Owls\n\nThey hunt at night.\n")})).json()
        await http.get(f"/v1/files/{file['id']}/events")
        key = (await http.post("/v1/keys", json={"name": "Spare"})).json()["id"]
        return _Belongings(run.headers["x-dormouse-run-id"], thread, artifact["id"], file["id"], key)


async def _schemathesis(platform: Platform, tenant: Tenant, share: str, names: dict[str, str], folder: Path) -> str:
    """What it reports of the operations whose ids match."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={CONFIGURATION}",
        "run",
        f"{platform.edge.url}/openapi.json",
        f"--header=Authorization: Bearer {tenant.api_key}",
        f"--max-examples={EXAMPLES}",
        f"--include-operation-id-regex={share}",
        "--no-color",
        cwd=folder,  # where it keeps its cache
        env={**os.environ, **names},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        return (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()


def _operations_with_input(document: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """With whether there is more to make up than an id."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if "{" in path or operation.get("parameters") or "requestBody" in operation:
                yield (
                    f"{method.upper()} {path}",
                    "requestBody" in operation or operation["operationId"].startswith("list"),
                )


async def _requests_by_operation(platform: Platform) -> dict[str, int]:
    """As the edge has counted them."""
    counts: dict[str, int] = {}
    metrics = await platform.edge.metrics()
    for method, route, count in re.findall(r'_requests_total\{method="(\w+)",route="([^"]+)".*\} (\S+)', metrics):
        name = f"{method} {route.replace(':path', '')}"
        counts[name] = counts.get(name, 0) + int(float(count))
    return counts
