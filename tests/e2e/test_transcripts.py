"""The transcripts in docs/ are what the platform does now."""

from __future__ import annotations

from loadtest.transcripts.recording import differences, record
from tests.e2e.conftest import Agents
from tests.stack import Tenant


async def test_the_transcripts_are_current(agents: Agents, tenant: Tenant) -> None:
    pages = await record(agents.edge.url, tenant.api_key, agents.providers.address)
    assert differences(pages) == [], "run `make transcripts`"
