"""What each part loads in a fresh process: a cold start pays for nothing that the part does not use."""

import asyncio
import json
import sys
from dataclasses import dataclass

import pytest

from tests.stack import Fleet, Tenant

FOREIGN = frozenset({"openai", "langfuse", "langchain_openai", "litellm", "pandas", "sympy", "numpy", "torch", "scipy"})
WEB = frozenset({"fastapi", "starlette", "uvicorn", "httpx"})
DATABASE_TOOLS = frozenset({"sqlalchemy", "alembic", "redis"})
AGENTS = frozenset({"langgraph", "langchain_core", "langsmith"})
# Every function: small images, fast cold starts, no exporter where nothing is exported.
FUNCTION = FOREIGN | WEB | DATABASE_TOOLS | frozenset({"ollama", "opentelemetry", "prometheus_client"})


@dataclass(frozen=True)
class Part:
    """A statement that loads all that the part has when it serves, and what must not have come with it."""

    package: str
    statement: str
    forbidden: frozenset[str]


AGENT_FN = Part(
    "agent_fn",
    "from agent_fn import lean_imports; lean_imports.install(); import agent_fn.app",
    FUNCTION | {"edge", "devstack", "migrations", "langsmith.client"},
)
TOOL_FN = Part(
    "tool_fn",
    "import tool_fn.__main__; from tool_fn import registry; tools = [*registry.built_in()]",
    # What tools need is loaded by the first call of one, what tokens need by the first token.
    FUNCTION | AGENTS | {"aiohttp", "pydantic", "psycopg", "wasmtime", "mcp", "yaml", "jwt", "cryptography", "uvloop"},
)
EMBED_FN = Part(
    "embed_fn",
    "import embed_fn.__main__",
    # Parsers run in processes of their own; the database's driver is loaded a moment after the start.
    FUNCTION
    | AGENTS
    | {"pydantic", "psycopg", "jwt", "cryptography", "uvloop", "pypdf", "docx", "pptx", "lxml", "selectolax"}
    | {"python_calamine", "charset_normalizer"},
)
# The SDK of MCP, and the HTTP client that it brings, come with the first request to /mcp.
MCP_SDK = frozenset({"mcp", "mcp_types", "httpx2", "sse_starlette"})
EDGE = Part(
    "edge",
    "import edge.server",
    FOREIGN | AGENTS | MCP_SDK | {"agent_fn", "tool_fn", "sqlalchemy", "alembic", "httpx", "aiohttp"},
)
PARTS = [
    Part(
        "dormouse_runtime",
        "import dormouse_runtime.server",
        FUNCTION | AGENTS | {"pydantic", "aiohttp", "psycopg", "jwt", "cryptography"},
    ),
    Part("dormouse_runtime", "import dormouse_runtime.client", FUNCTION | AGENTS | {"pydantic", "jwt", "cryptography"}),
    Part("dormouse_runtime", "import dormouse_runtime.logs, dormouse_runtime.metrics", FUNCTION | {"grpc", "jwt"}),
    AGENT_FN,
    TOOL_FN,
    EMBED_FN,
    EDGE,
    Part("edge", "import edge.__main__", frozenset({"fastapi", "grpc", "redis", "psycopg"})),  # wrong settings: at once
    Part("devstack", "import devstack.model_server.__main__", FOREIGN | AGENTS | WEB | {"grpc", "psycopg", "edge"}),
    Part("devstack", "import devstack.__main__", FOREIGN | AGENTS | WEB | {"grpc", "edge", "agent_fn"}),
    Part("migrations", "import migrations.__main__", FOREIGN | AGENTS | WEB | {"grpc", "edge", "agent_fn", "redis"}),
]
# What an import may not do; only the process that serves connects, starts programs and threads, and changes files.
DEEDS = {"socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.remove", "os.rename", "os.mkdir"}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.statement)
async def test_a_part_loads_nothing_that_it_does_not_use(part: Part) -> None:
    loaded = await modules_after(part.statement)
    assert part.package in loaded
    assert sorted(part.forbidden & loaded) == []


async def test_an_import_does_nothing() -> None:
    statements = [part.statement for part in PARTS if "__main__" not in part.statement]
    script = f"""
import sys, threading
seen = set()
sys.addaudithook(lambda event, args: seen.add(event))
{chr(10).join(statements)}
print(sorted(seen & {DEEDS}), threading.active_count())
"""
    assert await run_python(script) == "[] 1"


async def test_a_serving_platform_loads_no_more_than_its_parts(fleet: Fleet, tenant: Tenant) -> None:
    """The same, after real work: what a first request loads late would be paid by a user."""
    watched = {"PYTHONPROFILEIMPORTTIME": "1"}
    model_server = await fleet.model_server(ttft_ms=1, token_ms=1)
    agent_fn = await fleet.agent_fn(model_server, env=watched)
    edge = await fleet.edge(agent_fn, env=watched)
    async with edge.client(tenant) as http:
        models = (await http.get("/v1/models")).json()["data"]
        body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        answer = await http.post("/v1/chat/completions", json=body)
        assert (answer.status_code, bool(models)) == (200, True), answer.text
        thread = (await http.post("/v1/threads", json={})).json()
        run = {"agent": "chat", "input": {"messages": body["messages"]}}
        answer = await http.post(f"/v1/threads/{thread['id']}/runs", json=run)
        assert "run.finished" in answer.text
    await edge.terminate()
    await agent_fn.terminate()
    for server, part in ((agent_fn, AGENT_FN), (edge, EDGE)):
        names = imports_in(server.process.log.path.read_text())
        assert part.package in names
        assert sorted(part.forbidden & {*names, *(name.partition(".")[0] for name in names)}) == []


def imports_in(log: str) -> list[str]:
    """The modules of `-X importtime` lines."""
    return [line.rpartition("|")[2].strip() for line in log.splitlines() if line.startswith("import time:")]


async def modules_after(statement: str) -> set[str]:
    """What sys.modules holds: every name, and the packages they belong to."""
    script = (
        f"import sys, json; before = {{*sys.modules}}; {statement}; print(json.dumps([*({{*sys.modules}} - before)]))"
    )
    names = json.loads(await run_python(script))
    return {*names} | {name.partition(".")[0] for name in names}


async def run_python(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode().strip()
