"""An AWS account that is simulated on this machine, with the environment dev in it."""

import asyncio
import os
import random
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from devstack.ports import COUNT, FIRST, HOST, is_free
from devstack.process import Process

from tests.terraform.machine import Machine
from tests.terraform.runner import ACCOUNT, REGION, Runner, copy

OVERLAYS = Path(__file__).parent / "simulator"
IS_SLOW = bool(os.environ.get("DORMOUSE_TF_SLOW"))
"""With RDS and lifecycle rules, for which the provider waits minutes."""

LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'
VARIABLES = f"""
account_id    = "{ACCOUNT}"
region        = "{REGION}"
domain        = {{ zone = "ENVIRONMENT.example.org" }}
access        = {{ team = {{ principal_arn = "arn:aws:iam::{ACCOUNT}:role/team", rights = "admin" }} }}
budget_emails = ["team@example.org"]

provided_secrets = {{ tavily-api-key = "Web search" }}
"""


class SimulatedAccount:
    """moto's server. It forgets everything when it stops."""

    def __init__(self, home: Path) -> None:
        port = next(port for port in iter(lambda: random.randrange(FIRST, FIRST + COUNT), None) if is_free(port))
        self.url = f"http://{HOST}:{port}"
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        # Policies that AWS manages are there only when they are asked for.
        env["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
        argv = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
        self._process = Process("moto", argv, env=env, log=home / "moto.log")

    async def start(self) -> None:
        await self._process.start()
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(self._answers):
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self._process.running:
            await self._process.kill()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    @property
    def environ(self) -> dict[str, str]:
        """What Terraform needs to take this for AWS. Few attempts: what the simulator lacks it will lack again."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_MAX_ATTEMPTS": "3",
        }

    async def ask(self, service: str, question: Callable[[Any], Any]) -> Any:
        """`question` gets boto3's client of the service, in a thread."""
        client = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="simulated",
            aws_secret_access_key="simulated",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )
        return await asyncio.to_thread(question, client)


class SimulatedDev:
    """The environment dev, less what the simulator lacks (tests/terraform/simulator says what and why)."""

    def __init__(self, machine: Machine, account: SimulatedAccount, home: Path) -> None:
        overlays = [OVERLAYS / "lacks"] if IS_SLOW else [OVERLAYS / "lacks", OVERLAYS / "slow"]
        self._copy = copy(home / "terraform", *overlays)
        self.folder = settle(self._copy, "dev")
        self.terraform = Runner(machine, home / "cli", account.environ)
        self.seconds: dict[str, float] = {}

    async def bootstrap(self) -> Path:
        """The bucket of the states. Returns the root that made it."""
        folder = self._copy / "bootstrap"
        variables = (f"-var=account_id={ACCOUNT}", f"-var=region={REGION}")
        await self.terraform("init", "-lockfile=readonly", cwd=folder)
        await self.terraform("apply", "-auto-approve", *variables, cwd=folder)
        return folder

    async def apply(self) -> str:
        # Installed from the machine's folder, and compared with the hashes of the lock file.
        await self._run("init", "-lockfile=readonly")
        return await self._run("apply", "-auto-approve", "-parallelism=30")

    async def plan_again(self) -> int:
        """0: nothing to do; 2: something would change."""
        result = await self.terraform("plan", "-detailed-exitcode", cwd=self.folder, expect=(0, 2))
        self.seconds["plan"] = result.seconds
        assert result.code == 0, result.output[-6000:]
        return result.code

    async def platform(self) -> str:
        return (await self.terraform("output", "-json", "platform", cwd=self.folder)).output

    async def destroy(self) -> str:
        # It was looked at a moment ago.
        return await self._run("destroy", "-auto-approve", "-refresh=false", "-parallelism=30")

    async def _run(self, *arguments: str) -> str:
        result = await self.terraform(*arguments, cwd=self.folder)
        self.seconds[arguments[0]] = result.seconds
        return result.output


def settle(terraform: Path, environment: str) -> Path:
    """The root of an environment with a state beside it and variables filled in."""
    folder = terraform / "envs" / environment
    (folder / "simulator_override.tf").write_text(LOCAL_STATE)
    (folder / "terraform.tfvars").write_text(VARIABLES.replace("ENVIRONMENT", environment))
    return folder
