"""Questions about the edge's health leave functions alone that sleep."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dormouse_runtime.client import open_channel
from dormouse_runtime.identity import TokenIssuer
from dormouse_runtime.keys import write_key_pair
from edge.agents import AgentDirectory
from edge.database import Database
from edge.embed_client import EmbedClient
from edge.health import Health
from edge.lifecycle import Lifecycle
from edge.tool_client import ToolClient

from edge import agents, health
from tests.contract.agent_service import ScriptedAgents, serving_agents


@pytest.mark.parametrize(("probe_s", "expected"), [(0, 1), (1e-9, 4)])
async def test_without_a_probe_agent_fn_is_asked_until_it_has_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe_s: float, expected: int
) -> None:
    monkeypatch.setattr(agents, "FRESH_S", -1.0)  # whoever wants the catalogue has it read anew
    monkeypatch.setattr(health, "REPORT_FRESH_S", -1.0)
    write_key_pair(tmp_path / "key", tmp_path / "trusted")
    issuer = TokenIssuer.from_file(tmp_path / "key")
    asked = 0

    class Counting(ScriptedAgents):
        async def ListAgents(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            nonlocal asked
            asked += 1
            return await super().ListAgents(request, context)

    async with serving_agents(Counting()) as target:
        channel = open_channel(target)
        directory = AgentDirectory(channel, issuer)
        checks = Health(
            database=Database("postgresql://127.0.0.1:1/none"),
            agents=directory,
            tools=ToolClient(None, issuer),
            embed=EmbedClient(None, issuer),
            files=None,
            runs=cast("Any", SimpleNamespace(resume_available=True)),
            lifecycle=Lifecycle(),
            agent_probe_s=probe_s,
        )
        for _ in range(4):
            assert (await checks.report()).ready
        await directory.close()
        await channel.close()
    assert asked == expected
