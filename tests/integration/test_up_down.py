"""`make up` and `make down` as a person uses them: real commands, in homes of their own."""

import asyncio
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from devstack.ports import is_free
from devstack.process import LAUNCHER

from tests.stack import Fleet, Stack
from tests.stack.endings import wait_ended
from tests.stack.ports import free_port

ROOT = Path(__file__).parents[2]
SECOND_START_S = 5.0


@dataclass
class Checkout:
    """One home of the platform, and the commands of `make` on it."""

    home: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    async def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run `python -m devstack …`; the exit code and everything it printed."""
        process = await self.begin(*arguments, env=env)
        output, _ = await asyncio.wait_for(process.communicate(), 120)
        return process.returncode or 0, output.decode()

    async def begin(self, *arguments: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("DORMOUSE_", "OLLAMA_"))}
        own = {"DORMOUSE_HOME": str(self.home), "DORMOUSE_PORT": str(self.port)}
        return await asyncio.create_subprocess_exec(
            *(*self.prefix, sys.executable, "-m", "devstack", *arguments),
            env=base | own | self.env | dict(env or {}),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def up(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        code, output = await self.command("up", "--detach", *arguments, env=env)
        assert code == 0, output
        return output

    async def down(self) -> str:
        code, output = await self.command("down")
        assert code == 0, output
        return output

    @property
    def state(self) -> dict[str, object]:
        state: dict[str, object] = json.loads((self.home / "state.json").read_text())
        return state

    @property
    def pids(self) -> dict[str, int]:
        """Of the supervisor and all that it started."""
        state = self.state
        records = [state["supervisor"], *state["processes"]]  # type: ignore[misc]
        return {record["name"]: record["pid"] for record in records if record}

    def shell_lines(self) -> dict[str, str]:
        lines = (self.home / "env").read_text().splitlines()
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)

    async def answer(self) -> str:
        """What a streamed chat answers, by the URL and key of `.dormouse/env`."""
        lines = self.shell_lines()
        body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
        headers = {"Authorization": f"Bearer {lines['DORMOUSE_API_KEY']}"}
        text = ""
        async with (
            httpx.AsyncClient(base_url=lines["DORMOUSE_URL"], headers=headers, timeout=30) as http,
            http.stream("POST", "/v1/chat/completions", json=body) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    text += "".join(choice["delta"].get("content") or "" for choice in json.loads(line[6:])["choices"])
        assert line == "data: [DONE]" or not line
        return text

    async def assert_nothing_is_left(self, pids: Mapping[str, int]) -> None:
        await wait_ended(pids.values(), timeout=15)
        ports = [self.port, *self.state["ports"].values()]  # type: ignore[attr-defined]
        assert [port for port in ports if not is_free(port)] == []
        assert not (self.home / "env").exists()
        assert [path for path in self.home.rglob("*") if path.is_socket()] == []
        assert [child for child in psutil.Process().children(recursive=True) if child.pid in pids.values()] == []


@pytest.fixture
async def checkout(tmp_path: Path) -> AsyncIterator[Checkout]:
    """A home that has never been used. When we are root, it lies in a folder that only root can enter."""
    checkout = Checkout(tmp_path / "home", free_port())
    yield checkout
    if (checkout.home / "lock").exists():
        await checkout.down()


@pytest.mark.alone
async def test_up_answers_again_and_again_and_down_leaves_nothing(checkout: Checkout) -> None:
    output = await checkout.up()
    assert re.search(r"\[ *\d+\.\ds\] Postgres: ready", output), output
    assert checkout.shell_lines()["DORMOUSE_URL"] == f"http://127.0.0.1:{checkout.port}"
    assert checkout.shell_lines()["DORMOUSE_API_KEY"] in output
    assert (checkout.home / "env").stat().st_mode & 0o077 == 0
    assert [path for path in (checkout.home / "secrets").iterdir() if path.stat().st_mode & 0o077] == []

    curl = next(line for line in output.splitlines() if line.startswith("curl "))
    if shutil.which("curl"):
        shell = await asyncio.create_subprocess_shell(f"{curl} -sS", stdout=asyncio.subprocess.PIPE)
        answer, _ = await shell.communicate()
        assert answer.rstrip().endswith(b"data: [DONE]"), answer
    assert await checkout.answer()

    again = await checkout.up()
    assert "running already" in again
    assert f"http://127.0.0.1:{checkout.port}" in again

    code, output = await checkout.command("status", "--json")
    status = json.loads(output)
    assert (code, status["state"]) == (0, "ready")
    assert {process["name"] for process in status["processes"]} == {
        *("postgres", "valkey", "model_server", "embed_fn", "tool_fn", "agent_fn", "edge")
    }
    assert {process["status"] for process in status["processes"]} == {"running"}

    pids = checkout.pids
    await checkout.down()
    await checkout.assert_nothing_is_left(pids)
    assert "nothing was running" in await checkout.down()

    key = (checkout.home / "secrets" / "api-key").read_text()
    began = time.monotonic()
    output = await checkout.up()
    assert time.monotonic() - began < SECOND_START_S, output
    assert "migrations" not in output
    assert checkout.shell_lines()["DORMOUSE_API_KEY"] == key
    assert await checkout.answer()


async def test_it_heals_whatever_is_killed_and_a_killed_supervisor_leaves_no_orphan(checkout: Checkout) -> None:
    await checkout.up(env={"DORMOUSE_EDGE_REPLICAS": "2"})
    before = checkout.pids
    assert "edge-2" in before
    victims = {name: pid for name, pid in before.items() if name != "supervisor"}
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    await wait_ended(victims.values())
    await _until(lambda: checkout.pids.keys() == before.keys() and not (checkout.pids.items() & victims.items()))
    await _ready(checkout)
    assert await checkout.answer()

    pids = checkout.pids
    os.kill(pids["supervisor"], signal.SIGKILL)
    await wait_ended(pids.values())
    assert "Dormouse runs at" in await checkout.up()
    assert await checkout.answer()

    pids = checkout.pids
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    await checkout.down()
    await checkout.assert_nothing_is_left(pids)


async def test_two_run_side_by_side_on_servers_that_exist(stack: Stack, fleet: Fleet, checkout: Checkout) -> None:
    """One detached and one in the foreground; only the port and the home differ."""
    model_server = await fleet.model_server(pull_ms=50)
    async with model_server.control() as http:
        (await http.request("DELETE", "/api/delete", json={"model": "sim:latest"})).raise_for_status()
    checkout.env = {
        "DORMOUSE_POSTGRES_URL": stack.database.url,
        "DORMOUSE_MIGRATIONS_POSTGRES_URL": stack.database.owner_url,
        "DORMOUSE_REDIS_URL": stack.valkey.url,
        "DORMOUSE_FILES": str(stack.database.files),  # one database has one store of files
        "OLLAMA_HOST": model_server.address,
    }
    output = await checkout.up("--model", "sim")
    assert "model sim: fetched" in output
    assert "sim is the default" in output
    assert "row-level security" not in output
    assert checkout.pids.keys() == {"supervisor", "embed_fn", "tool_fn", "agent_fn", "edge"}
    assert not (checkout.home / "postgres").exists()
    assert await checkout.answer()

    other = Checkout(checkout.home.with_name("other"), free_port(), env=checkout.env)
    process = await other.begin("up")
    assert process.stdout is not None
    shown = ""
    while "Ctrl-C stops it" not in shown:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, shown
        shown += line.decode()
    assert await other.answer()
    assert await checkout.answer()
    pids = other.pids
    process.send_signal(signal.SIGINT)
    rest, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, rest.decode()
    assert "POST path=/v1/chat/completions status=200" in rest.decode()
    await other.assert_nothing_is_left(pids)
    assert await checkout.answer()


async def test_a_taken_port_is_named_with_its_holder_and_a_way_out(checkout: Checkout) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", checkout.port))
        taken.listen()
        code, output = await checkout.command("up", "--detach")
    assert code == 1
    assert f"port {checkout.port} is taken by" in output
    assert f"(pid {os.getpid()})" in output
    assert f"DORMOUSE_PORT={checkout.port + 1} make up" in output


async def test_an_ordinary_user_can_run_it() -> None:
    if os.geteuid() != 0:
        pytest.skip("every test here already runs as an ordinary user")
    account = pwd.getpwnam("nobody")
    as_user = [sys.executable, "-I", "-S", str(LAUNCHER), "--user", f"{account.pw_uid}:{account.pw_gid}"]
    if not open_to_all(ROOT) or not open_to_all(Path(sys.executable)):
        # Where only root can enter the interpreter's folder, the user may read there, and is no less ordinary for it.
        as_user.append("--read-search")
    with tempfile.TemporaryDirectory(prefix="dormouse-user-") as name:
        os.chown(name, account.pw_uid, account.pw_gid)
        prefix = (*as_user, str(os.getpid()), str(int(signal.SIGKILL)))
        checkout = Checkout(Path(name) / "home", free_port(), env={"HOME": name}, prefix=prefix)
        try:
            await checkout.up()
            pids = checkout.pids
            assert {psutil.Process(pid).uids().effective for pid in pids.values()} == {account.pw_uid}
            assert await checkout.answer()
        finally:
            await checkout.down()
        await checkout.assert_nothing_is_left(pids)


def open_to_all(path: Path) -> bool:
    return all(entry.stat().st_mode & 0o005 == 0o005 for entry in (path.resolve(), *path.resolve().parents))


async def _until(condition: object, *, timeout: float = 30.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def _ready(checkout: Checkout) -> None:
    deadline = time.monotonic() + 30
    async with httpx.AsyncClient(timeout=5) as http:
        while True:
            try:
                response = await http.get(f"http://127.0.0.1:{checkout.port}/readyz")
                if response.status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
