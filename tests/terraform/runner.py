"""Runs Terraform in copies of the repository's folder, so that nothing is left in it."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.process import Process

from tests.terraform.machine import Machine

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "terraform"
ACCOUNT = "123456789012"
REGION = "us-east-1"

# What a test may take from the environment. Credentials are not among it: a mistake must not reach a real account.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    output: str
    seconds: float


class CommandError(AssertionError):
    """Terraform ended with an exit code that the test did not expect; shows the end of what it said."""


def copy(target: Path, *overlays: Path) -> Path:
    """A copy of terraform/ with files of `overlays` laid over it."""
    left_out = shutil.ignore_patterns(".terraform", "*.tfstate*", "terraform.tfvars", "backend.hcl", "__pycache__")
    shutil.copytree(FOLDER, target, ignore=left_out)
    for overlay in overlays:
        shutil.copytree(overlay, target, dirs_exist_ok=True)
    return target


class Runner:
    """Terraform with a configuration of its own that finds the provider on this machine and nowhere else."""

    def __init__(self, machine: Machine, home: Path, env: Mapping[str, str] | None = None) -> None:
        self._machine = machine
        home.mkdir(parents=True, exist_ok=True)
        configuration = home / "terraform.rc"
        configuration.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{machine.plugins}"\n  }}\n}}\n'
        )
        self.environ = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "TF_CLI_CONFIG_FILE": str(configuration),
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
            **(env or {}),
        }

    async def __call__(
        self, *arguments: str, cwd: Path, expect: Sequence[int] = (0,), time_limit_s: float = 280
    ) -> Result:
        """Raises CommandError on another exit code, TimeoutError when it takes too long."""
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            self._machine.terraform,
            *arguments,
            *(() if arguments[0] in {"output", "show"} else ("-no-color",)),
            cwd=cwd,
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT if arguments[0] != "show" else asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(time_limit_s):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                # Its provider is in the same session.
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        result = Result(process.returncode or 0, output.decode(), time.monotonic() - began)
        if result.code not in expect:
            said = "\n".join(result.output.splitlines()[-60:])
            raise CommandError(f"terraform {' '.join(arguments)} in {cwd.name} ended with {result.code}:\n{said}")
        return result


class AttachedProvider:
    """One provider for many commands: it makes its schema once instead of once a command, which is most of a test.

    One command at a time: a command configures the provider for itself.
    """

    def __init__(self, machine: Machine, home: Path, env: Mapping[str, str]) -> None:
        """env: the provider's credentials and endpoint; it reads them itself."""
        self._loop = asyncio.get_running_loop()
        self._address: asyncio.Future[str] = self._loop.create_future()
        env = {
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            **env,
            "AWS_REGION": REGION,
            "TMPDIR": str(home),
        }
        home.mkdir(parents=True, exist_ok=True)
        self._process = Process(
            "aws-provider", [machine.provider, "-debug"], env=env, log=home / "provider.log", on_line=self._read
        )

    async def start(self) -> dict[str, str]:
        """The variables for Terraform to find it."""
        await self._process.start()
        async with asyncio.timeout(60):
            return {"TF_REATTACH_PROVIDERS": await self._address}

    async def stop(self) -> None:
        if self._process.running:
            await self._process.kill()

    def _read(self, line: str) -> None:
        """Called in the thread that reads the log."""
        name, is_address, value = line.strip().partition("=")
        if is_address and name == "TF_REATTACH_PROVIDERS":
            self._loop.call_soon_threadsafe(self._address.set_result, value.strip("'"))
