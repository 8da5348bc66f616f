"""Finds the agents: every package beside this module that has a `build_agent()`."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from agent_fn import agents
from agent_fn.agents.agent import Agent


def load_agents() -> Mapping[str, Agent]:
    """Imports each agent's package and builds it; by id. A new agent is a new package, nothing else."""
    return {agent.id: agent for agent in sorted(_build(), key=lambda agent: agent.id)}


def _build() -> Iterator[Agent]:
    for module in pkgutil.iter_modules(agents.__path__, f"{agents.__name__}."):
        if module.ispkg:
            yield importlib.import_module(module.name).build_agent()
