"""What a fresh agent_fn loads: little, and nothing that would send prompts elsewhere."""

import json
import subprocess
import sys

import pytest

FOREIGN = ("openai", "langfuse", "sympy", "pandas", "fastapi", "sqlalchemy", "edge", "prometheus_client", "numpy")
LATER = ("psycopg", "psycopg_pool")
STOOD_IN_FOR = ("langsmith.client", "langgraph_sdk.client", "httpx")

RUN_A_GRAPH = """
import asyncio
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
class State(TypedDict):
    seen: list[str]
async def node(state):
    return {"seen": [*state["seen"], "node"]}
graph = StateGraph(State)
graph.add_node("node", node)
graph.add_edge(START, "node")
graph.add_edge("node", END)
assert asyncio.run(graph.compile().ainvoke({"seen": []})) == {"seen": ["node"]}
"""


def loaded(program: str, **environ: str) -> set[str]:
    """The modules in a fresh process after this program."""
    program += "\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environ, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def agent_fn_modules() -> set[str]:
    program = "from agent_fn import lean_imports; lean_imports.install(); import agent_fn.app\n" + RUN_A_GRAPH
    return loaded(program, LANGSMITH_TRACING="true", LANGSMITH_API_KEY="none", LANGCHAIN_TRACING_V2="true")


@pytest.mark.parametrize("name", FOREIGN)
def test_agent_fn_never_loads(agent_fn_modules: set[str], name: str) -> None:
    assert name not in agent_fn_modules


@pytest.mark.parametrize("name", LATER)
def test_agent_fn_starts_without(agent_fn_modules: set[str], name: str) -> None:
    assert name not in agent_fn_modules


def test_langgraph_is_loaded_before_the_first_request(agent_fn_modules: set[str]) -> None:
    assert "langgraph.pregel.main" in agent_fn_modules


@pytest.mark.parametrize("name", STOOD_IN_FOR)
def test_the_stand_ins_keep_out(agent_fn_modules: set[str], name: str) -> None:
    assert name not in agent_fn_modules


def test_the_stand_ins_are_still_needed() -> None:
    """When this fails, langgraph has become lean by itself: drop what agent_fn.lean_imports no longer has to do."""
    assert set(STOOD_IN_FOR) <= loaded(RUN_A_GRAPH)
