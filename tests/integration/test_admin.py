"""`dormouse admin`: an installation is made and looked after with its database and its files alone."""

import asyncio
import json
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from edge.admin.__main__ import main, parser

from tests.stack import Platform, Stack

Admin = Callable[..., Awaitable[Any]]


@pytest.fixture
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DORMOUSE_ADMIN_POSTGRES_URL", stack.database.owner_url)
    monkeypatch.setenv("DORMOUSE_KEY_PEPPER", str(stack.credentials.pepper))
    return monkeypatch


@pytest.fixture
def run(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Awaitable[Any]]:
    """Exit code, standard output and standard error of a command."""

    async def run(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["admin", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def admin(run: Callable[..., Awaitable[Any]]) -> Admin:
    """What a command that works prints as JSON."""

    async def admin(*arguments: str) -> Any:
        code, out, err = await run("--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    return admin


@pytest.fixture
def name() -> str:
    return f"t-{secrets.token_hex(6)}"


async def status_with(platform: Platform, secret: str, path: str = "/v1/models") -> int:
    async with httpx.AsyncClient(base_url=platform.edge.url, headers={"authorization": f"Bearer {secret}"}) as http:
        return (await http.get(path)).status_code


async def audited(stack: Stack, tenant: str) -> list[tuple[str, str]]:
    async with await psycopg.AsyncConnection.connect(stack.database.url) as connection:
        await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant])
        cursor = await connection.execute("select action, actor from audit_entries order by seq")
        return [(row[0], row[1].partition(":")[0]) for row in await cursor.fetchall()]


async def test_the_first_tenant_user_and_key_of_an_installation(
    platform: Platform, stack: Stack, admin: Admin, name: str
) -> None:
    tenant = await admin("tenants", "create", name, "--name", "Acme", "--plan", "unlimited")
    assert (tenant["id"], tenant["name"], tenant["plan"]) == (name, "Acme", "unlimited")
    user = await admin("users", "create", "--tenant", name, "--role", "admin", "Ada@Example.org")
    assert (user["email"], user["role"], user["has_password"]) == ("ada@example.org", "admin", False)
    async with platform.edge.client() as http:
        body = {"invitation": user["invitation"], "password": "a long pass phrase"}
        accepted = await http.post("/auth/accept", json=body)
        assert accepted.status_code == 200, accepted.text
    key = await admin(
        *("keys", "create", "--tenant", name, "--user", "ada@example.org", "--role", "admin"),
        *("--scope", "models:read", "--scope", "keys", "--days", "7", "First"),
    )
    assert (key["user"], key["scopes"]) == (user["id"], ["keys", "models:read"])
    assert await status_with(platform, key["key"]) == 200
    assert await status_with(platform, key["key"], "/v1/threads") == 403
    (listed,) = await admin("keys", "list", "--tenant", name)
    assert listed["id"] == key["id"]
    assert "key" not in listed
    rotated = await admin("keys", "rotate", "--tenant", name, key["id"], "--overlap-hours", "1")
    assert [await status_with(platform, secret) for secret in (key["key"], rotated["key"])] == [200, 200]
    assert (await admin("keys", "revoke", "--tenant", name, key["id"]))["revoked"]
    assert await admin("keys", "list", "--tenant", name) == []
    assert [action for action, _ in await audited(stack, name)] == [
        *("user.created", "auth.invitation_accepted", "key.created", "key.rotated", "key.revoked")
    ]
    assert ("tenant.created", "cli") in await audited(stack, "*")


async def test_users_are_changed_and_the_last_admin_stays(run: Any, admin: Admin, name: str) -> None:
    await admin("tenants", "create", name)
    ada = await admin("users", "create", "--tenant", name, "--role", "admin", "ada@example.org")
    bob = await admin("users", "create", "--tenant", name, "bob@example.org")
    assert (await admin("users", "change", "--tenant", name, "bob@example.org", "--role", "viewer"))["role"] == "viewer"
    assert (await admin("users", "change", "--tenant", name, bob["id"], "--disable"))["disabled_at"] is not None
    code, out, err = await run("users", "invite", "--tenant", name, bob["id"])
    assert (code, out, err) == (1, "", "dormouse: the user is disabled\n")
    code, _, err = await run("users", "change", "--tenant", name, ada["id"], "--role", "member")
    assert (code, "last admin" in err) == (1, True)
    listed = await admin("users", "list", "--tenant", name)
    assert [(user["email"], user["role"]) for user in listed] == [
        *(("bob@example.org", "viewer"), ("ada@example.org", "admin"))
    ]
    invited = await admin("users", "invite", "--tenant", name, "ada@example.org")
    assert invited["invitation"] != ada["invitation"]


async def test_plans_and_settings_of_a_tenant(admin: Admin, run: Any, name: str, tmp_path: Path) -> None:
    await admin("tenants", "create", name)
    changed = await admin("tenants", "change", name, "--plan", "unlimited", "--set", "redact=false", "--set", "a=1")
    assert (changed["plan"], changed["settings"]) == ("unlimited", {"a": 1, "redact": False})
    assert (await admin("tenants", "change", name, "--set", "a=null"))["settings"] == {"redact": False}
    assert name in [tenant["id"] for tenant in await admin("tenants", "list")]
    plans = tmp_path / "plans.yaml"
    plans.write_text("plans: {team: {concurrent_runs: {tenant: 5}}}")
    named = {plan["name"] for plan in await admin("plans", "list", "--plans", str(plans))}
    assert named == {"free", "unlimited", "team"}
    assert (await admin("tenants", "change", name, "--plan", "team", "--plans", str(plans)))["plan"] == "team"
    code, _, err = await run("tenants", "change", name, "--plan", "team")
    assert (code, err) == (1, "dormouse: there is no plan 'team'; there are free, unlimited\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("keys", "list", "--tenant", "no-such-tenant"), "there is no tenant 'no-such-tenant'"),
        (("tenants", "create", "a b"), "a tenant's id has 1 to 128 letters, digits and characters of _.@-"),
        (("tenants", "create", "default"), "there is a tenant 'default' already"),
        (("keys", "revoke", "--tenant", "default", "key_" + "A" * 24), "There is no key with this id."),
        (("keys", "create", "--tenant", "default", "--scope", "run", "x"), "there is no scope 'run'"),
        (("keys", "create", "--tenant", "default", "--scope", "audit", "x"), "the role member has not got the scope"),
        (("users", "create", "--tenant", "default", "nobody"), "EMAIL wants an e-mail address, and not 'nobody'"),
        (("--database", "postgresql://x@127.0.0.1:1/x", "tenants", "list"), "the database cannot be used: "),
        (("--database", "", "tenants", "list"), "set DORMOUSE_ADMIN_POSTGRES_URL"),
        (("--pepper", "", "keys", "create", "--tenant", "default", "x"), "set DORMOUSE_KEY_PEPPER"),
        (("--pepper", "/nowhere", "keys", "create", "--tenant", "default", "x"), "No such file"),
        (("service-keys", "list"), "set DORMOUSE_TRUSTED_KEYS"),
    ],
)
async def test_a_command_that_cannot_be_carried_out_says_why(run: Any, arguments: tuple[str, ...], why: str) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("dormouse: ")
    assert why in err
    assert err.count("\n") == 1


async def test_the_services_role_cannot_make_tenants(run: Any, stack: Stack, name: str) -> None:
    code, _, err = await run("--database", stack.database.url, "tenants", "create", name)
    assert (code, "this database role may not do that" in err) == (1, True)


async def test_people_see_lines_and_the_secret_once(run: Any, name: str) -> None:
    await run("tenants", "create", name)
    code, out, _ = await run("keys", "create", "--tenant", name, "--as", "nightly", "Nightly")
    assert code == 0
    (secret,) = re.findall(r"dm_live_[0-9A-Za-z]{49}", out)
    assert "cannot be shown again" in out
    code, out, _ = await run("keys", "list", "--tenant", name)
    assert "nightly" in out
    assert secret not in out
    code, out, _ = await run("keys", "peppers")
    assert code == 0


async def test_the_audit_log_is_verified(run: Any, admin: Admin, name: str, tmp_path: Path) -> None:
    await admin("tenants", "create", name)
    await admin("users", "create", "--tenant", name, "a@example.org")
    (report,) = await admin("audit", "verify", "--tenant", name)
    assert (report["whole"], report["entries"]) == (True, 1)
    _, head, _ = await run("audit", "head")
    (tmp_path / "anchors").write_text(head)
    (report,) = await admin("audit", "verify", "--tenant", name, "--anchors", str(tmp_path / "anchors"))
    assert report["whole"]


async def test_service_keys_are_made_rotated_and_registered(
    run: Any, admin: Admin, environment: pytest.MonkeyPatch, tmp_path: Path, stack: Stack
) -> None:
    private, trusted = tmp_path / "service-key.json", tmp_path / "trusted-keys.json"
    environment.setenv("DORMOUSE_SERVICE_KEY", str(private))
    environment.setenv("DORMOUSE_TRUSTED_KEYS", str(trusted))
    first = (await admin("service-keys", "init"))["key"]
    second = (await admin("service-keys", "next"))["key"]
    assert (await admin("service-keys", "switch"))["key"] == second
    code, _, err = await run("service-keys", "withdraw")
    assert (code, "may be good for another" in err) == (1, True)
    assert (await admin("service-keys", "withdraw", "--at-once"))["withdrawn"] == [first]
    own = tmp_path / "billing.json"
    key = (await admin("service-keys", "generate", str(own)))["key"]
    register = ("service-keys", "register", "billing")
    limits = ("--audience", "embed_fn", "--scope", "search", "--tenant", "acme")
    assert (await admin(*register, f"{own}.public", *limits))["key"] == key
    code, _, err = await run(*register, str(own), *limits)
    assert (code, "replace that key" in err) == (1, True), "the private key is not to be handed over"
    listed = {entry["issuer"]: entry for entry in await admin("service-keys", "list")}
    assert listed["dormouse-edge"] == {
        "issuer": "dormouse-edge",
        "keys": [second],
        **dict.fromkeys(("audiences", "scopes", "tenants"), "all"),
    }
    assert listed["billing"]["tenants"] == ["acme"]
    await admin("service-keys", "unregister", "billing")
    assert [entry["issuer"] for entry in await admin("service-keys", "list")] == ["dormouse-edge"]
    assert ("service_key.switched", "cli") in await audited(stack, "*")


async def test_the_command_explains_itself() -> None:
    script = Path(sys.executable).with_name("dormouse")
    command = (str(script),) if script.exists() else (sys.executable, "-m", "edge.admin")
    arguments = ("admin", "--help") if script.exists() else ("--help",)
    assert shutil.which(command[0])
    process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"the first steps of an installation" in out


GUIDES = Path(__file__).parents[2] / "docs/guides"
COMMANDS = sorted(
    {
        re.split(r"[#>|]", command.replace("\\\n", " "))[0].strip()
        for page in GUIDES.glob("*.md")
        for command in re.findall(r"^ *dormouse (admin (?:.*\\\n)*.*)$", page.read_text(), re.MULTILINE)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guides_commands_are_understood(command: str) -> None:
    options = parser({}).parse_args(shlex.split(command))
    assert callable(options.run)


def test_the_guides_show_commands() -> None:
    assert len(COMMANDS) >= 8
