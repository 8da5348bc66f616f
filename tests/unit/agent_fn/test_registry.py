"""A new agent is a new package and nothing else."""

import sys
import textwrap
from pathlib import Path

import pytest
from agent_fn.agents.registry import load_agents

from agent_fn import agents


def test_the_agents_are_found() -> None:
    assert {"chat", "react"} <= set(load_agents())


def test_a_package_beside_the_others_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "parrot"
    package.mkdir()
    package.joinpath("__init__.py").write_text(
        textwrap.dedent("""
            from agent_fn.agents.agent import Agent
            from agent_fn.agents.chat.graph import build_graph

            def build_agent():
                return Agent(id="parrot", description="Says it again.", graph=build_graph())
        """)
    )
    monkeypatch.setattr(agents, "__path__", [*agents.__path__, str(tmp_path)])
    assert {"chat", "parrot"} <= set(load_agents())
    del sys.modules["agent_fn.agents.parrot"]
