"""Servers that exist already, as `DORMOUSE_POSTGRES_URL` and `OLLAMA_HOST` name them."""

import re

import psycopg
import pytest
from devstack.databases import bypass_warning, external
from devstack.errors import DevstackError
from devstack.ollama import ModelServer
from devstack.postgres import SUPERUSER

from tests.stack import Fleet, Stack


async def test_a_role_that_row_level_security_does_not_bind_is_warned_about(stack: Stack) -> None:
    administrator = stack.database.server.url(SUPERUSER)
    async with await psycopg.AsyncConnection.connect(administrator, autocommit=True) as connection:
        await connection.execute("create role mighty nosuperuser bypassrls login password 'secret'")
    mighty = re.sub(r"//[^@]+@", "//mighty:secret@", stack.database.url)
    warning = await bypass_warning(await external(mighty, stack.database.owner_url))
    assert "the role mighty of DORMOUSE_POSTGRES_URL is not bound by row-level security" in warning
    assert "secret" not in warning


async def test_a_role_that_owns_the_tables_is_warned_about(stack: Stack) -> None:
    warning = await bypass_warning(await external(stack.database.owner_url, ""))
    assert "the role dormouse of DORMOUSE_POSTGRES_URL owns the tables" in warning


async def test_an_application_role_beside_an_owner_is_fine(stack: Stack) -> None:
    databases = await external(stack.database.url, stack.database.owner_url)
    assert databases.application_role == "dormouse_app"
    assert await bypass_warning(databases) == ""


async def test_a_database_that_does_not_answer_is_named_without_its_password(stack: Stack) -> None:
    nowhere = "postgresql://user:secret@127.0.0.1:1/x"
    with pytest.raises(DevstackError, match="DORMOUSE_POSTGRES_URL: the database does not answer") as caught:
        await external(nowhere, "")
    assert "secret" not in str(caught.value)
    with pytest.raises(DevstackError, match="DORMOUSE_MIGRATIONS_POSTGRES_URL: the database does not answer"):
        await external(stack.database.url, nowhere)


async def test_a_model_is_fetched_with_progress(fleet: Fleet) -> None:
    server = await fleet.model_server(pull_ms=100)
    ollama = ModelServer(server.url)
    assert await ollama.has("sim")
    async with server.control() as http:
        (await http.request("DELETE", "/api/delete", json={"model": "sim:latest"})).raise_for_status()
    assert not await ollama.has("sim")
    seen: list[tuple[int, int]] = []
    await ollama.pull("sim", lambda done, total: seen.append((done, total)))
    assert len(seen) > 2
    assert seen[-1][0] == seen[-1][1] > 0
    assert await ollama.has("sim:latest")


async def test_a_model_that_does_not_exist_is_named(fleet: Fleet) -> None:
    ollama = ModelServer((await fleet.model_server()).url)
    with pytest.raises(DevstackError, match="cannot fetch 'no-such-model'"):
        await ollama.pull("no-such-model", lambda done, total: None)


async def test_where_nobody_answers_there_is_no_version() -> None:
    assert await ModelServer("http://127.0.0.1:1").version() == ""
