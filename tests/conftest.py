"""The fixtures that start the platform, the logs of its processes beside a failure, and how tests are spread."""

import os
from collections.abc import AsyncIterator, Generator

import pytest

from tests.stack import Fleet, Platform, Stack, Tenant
from tests.stack.session import running_stack
from tests.stack.spreading import Spreading

LOG_LINES = 60


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: runs while no other test does, in no process")
    config.pluginmanager.register(Spreading(config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than processors, as some test always waits; eight at most, as each has a platform of its own."""
    return min((os.cpu_count() or 1) + 1, 8)


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """The session's Postgres, Valkey and keys. Tests share them: what separates tests is the tenant."""
    async with running_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
async def platform(stack: Stack) -> AsyncIterator[Platform]:
    """A model server, agent_fn and edge for tests that harm none of them."""
    async with stack.fleet() as fleet:
        model_server = await fleet.model_server(ttft_ms=5, token_ms=1)
        agent_fn = await fleet.agent_fn(model_server)
        yield Platform(model_server, agent_fn, await fleet.edge(agent_fn))


@pytest.fixture
async def fleet(stack: Stack) -> AsyncIterator[Fleet]:
    """This test's own processes; all are killed at its end."""
    async with stack.fleet() as fleet:
        yield fleet


@pytest.fixture
async def tenant(stack: Stack) -> Tenant:
    """A fresh tenant with an API key."""
    return await stack.database.tenant()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        fixtures = getattr(item, "funcargs", {}).values()
        processes = [process for value in fixtures if isinstance(value, Fleet) for process in value.processes]
        for value in fixtures:
            if isinstance(value, Platform):
                processes += [server.process for server in (value.model_server, value.agent_fn, value.edge)]
        for process in processes:
            lines = list(process.log.tail)[-LOG_LINES:]
            report.sections.append((f"log of {process.name} (pid {process.pid})", "\n".join(lines)))
    return report
