"""The run engine: executes runs, keeps their logs, and follows them from any replica."""

from .agent_client import AgentClient
from .engine import EngineSettings, RunEngine, open_engine

__all__ = ["AgentClient", "EngineSettings", "RunEngine", "open_engine"]
