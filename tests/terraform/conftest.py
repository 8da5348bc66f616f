"""What the tests of Terraform share: the machine's programs, one attached provider, one simulated account."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.terraform.machine import Machine, look_around
from tests.terraform.runner import AttachedProvider, Runner, copy
from tests.terraform.simulation import SimulatedAccount, SimulatedDev


@pytest.fixture(scope="session")
async def machine() -> Machine:
    return await look_around()


@pytest.fixture(scope="session")
async def account(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedAccount]:
    account = SimulatedAccount(tmp_path_factory.mktemp("moto"))
    await account.start()
    yield account
    await account.stop()


@dataclass(frozen=True, slots=True)
class Dev:
    environment: SimulatedDev
    applied: asyncio.Task[str]
    bootstrapped: asyncio.Task[Path]


@pytest.fixture(scope="session")
async def dev(
    machine: Machine, account: SimulatedAccount, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Dev]:
    """dev, being applied. Most of that is waiting, so the tests of modules go on beside it."""
    environment = SimulatedDev(machine, account, tmp_path_factory.mktemp("dev"))
    tasks = asyncio.create_task(environment.apply()), asyncio.create_task(environment.bootstrap())
    yield Dev(environment, *tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Copy:
    folder: Path
    terraform: Runner


@pytest.fixture(scope="session")
async def attached(
    machine: Machine, account: SimulatedAccount, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Copy]:
    """A copy of terraform/ and Terraform with a provider that runs already, in front of the simulated account."""
    home = tmp_path_factory.mktemp("modules")
    provider = AttachedProvider(machine, home / "provider", account.environ)
    yield Copy(copy(home / "terraform"), Runner(machine, home / "cli", await provider.start()))
    await provider.stop()
