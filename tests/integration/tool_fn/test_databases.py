"""sql_query and named lookups on a real Postgres: what they read, and everything that they refuse."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
import psycopg
import pytest
from devstack.postgres import SUPERUSER
from tool_fn.config import Config, Secrets
from tool_fn.means import Means, open_means
from tool_fn.tool import Call, Tool, ToolError
from tool_fn.tools import lookups, sql_query

from tests.stack import Stack

SCHEMA = """
create table users (id int primary key, email text unique, name text, joined date, balance numeric(30, 10));
insert into users values (1, 'ada@example.org', 'Ada', '2024-01-02', 12345678901234567890.0123456789),
    (2, 'bob@example.org', 'Bob | "the builder"', '2024-02-03', 0), (3, null, null, null, null);
create table items (id int primary key, owner int references users, title text, tags jsonb);
insert into items select n, 1 + n % 2, 'item ' || n, jsonb_build_object('n', n, 'list', array[1, 2.50])
    from generate_series(1, 300) n;
create table log (line text);
create function note(text) returns text language sql as 'insert into log values ($1) returning line';
create function note_user(users) returns text language sql as $$ insert into log values ('row') returning line $$;
create function double(int) returns int language sql immutable as 'select $1 * 2';
create sequence numbers;
grant select, insert, update, delete on all tables in schema public to shop_reader;
grant usage on all sequences in schema public to shop_reader;
"""

CONFIG = {
    "databases": {
        "shop": {"url_env": "SHOP_URL", "description": "users and their items", "sql": True},
        "mighty": {"url_env": "MIGHTY_URL", "sql": True},
        "own": {"url_env": "OWN_URL", "sql": True},
        "gone": {"url_env": "GONE_URL", "sql": True},
        "hidden": {"url_env": "SHOP_URL"},
    },
    "lookups": [
        {
            "name": "find_user",
            "description": "Finds a user by e-mail address.",
            "database": "hidden",
            "sql": "select id, name, balance from users where email = %(email)s",
            "parameters": {"email": {"description": "the address"}},
        },
        {
            "name": "items_of_user",
            "description": "Lists a user's items.",
            "database": "shop",
            "sql": "select id, title from items where owner = %(user_id)s and title like 'item %%' order by id",
            "parameters": {"user_id": {"type": "integer", "description": "the user's id"}},
            "max_rows": 5,
        },
    ],
}


@dataclass(frozen=True)
class Shop:
    """The tools by name, and the database behind them."""

    tools: dict[str, Tool]
    admin_url: str

    async def sql(self, sql: str, *, database: str = "shop", seconds: float = 5.0, max_rows: int = 50) -> str:
        return await self.call("sql_query", {"database": database, "sql": sql, "max_rows": max_rows}, seconds=seconds)

    async def call(self, name: str, arguments: object, *, seconds: float = 5.0) -> str:
        call = Call("t", "u", "run_1", "key", asyncio.get_running_loop().time() + seconds)
        return await self.tools[name].invoke(msgspec.json.encode(arguments), call)

    async def fetch(self, query: str) -> list[tuple[object, ...]]:
        async with await psycopg.AsyncConnection.connect(self.admin_url) as connection:
            return await (await connection.execute(query)).fetchall()


@pytest.fixture(scope="module")
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    server = stack.database.server
    async with await psycopg.AsyncConnection.connect(server.url(SUPERUSER), autocommit=True) as connection:
        await connection.execute("create role shop_reader login password 'reader'")
        await connection.execute("create database shop")
    admin = psycopg.conninfo.conninfo_to_dict(server.url(SUPERUSER))
    admin_url = _url(admin, dbname="shop")
    async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as connection:
        await connection.execute(SCHEMA)
    secrets = Secrets({
        "SHOP_URL": _url(admin, dbname="shop", user="shop_reader", password="reader"),
        "MIGHTY_URL": admin_url,
        "OWN_URL": stack.database.url,
        "GONE_URL": "postgresql://reader@127.0.0.1:1/shop",
    })  # fmt: skip
    async with open_means(msgspec.convert(CONFIG, Config), secrets) as means:
        yield Shop({tool.name: tool for tool in _tools(means)}, admin_url)


def _url(parts: Mapping[str, object], **changes: str) -> str:
    parts = {**parts, **changes}
    return (
        f"postgresql://{parts['user']}:{quote(str(parts['password']))}@/{parts['dbname']}"
        f"?host={quote(str(parts['host']), safe='')}&port={parts['port']}"
    )


async def test_a_query_comes_back_as_a_table(shop: Shop) -> None:
    answer = await shop.sql("select id, name, balance, joined from users order by id")
    assert answer.splitlines() == [
        "| id | name | balance | joined |",
        "|---|---|---|---|",
        "| 1 | Ada | 12345678901234567890.0123456789 | 2024-01-02 |",
        '| 2 | Bob \\| "the builder" | 0.0000000000 | 2024-02-03 |',
        "| 3 | NULL | NULL | NULL |",
        "",
        "3 rows.",
    ]


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("with x as (select 1 as a) select a, a from x;", "| a | a |"),
        ("values (1, 'two')", "| 1 | two |"),
        ("table log", "The query found no rows."),
        ("(select 7 % 4 as rest)", "| 3 |"),
        ("select 'a;b' as x -- and; more", "| a;b |"),
        ("select /* a /* nested */ comment; */ $tag$it's;$tag$ as x", "| it's; |"),
        ("select tags from items where id = 7", '| {"n": "7", "list": ["1", "2.50"]} |'),
        ("select double(count(*)::int) as n from items", "| 600 |"),
        ("select E'back\\'slash' as x", "| back'slash |"),
        ("select column_name from information_schema.columns where table_name = 'log'", "| line |"),
    ],
)
async def test_every_kind_of_query_is_read(shop: Shop, sql: str, line: str) -> None:
    assert line in (await shop.sql(sql)).splitlines()


async def test_more_rows_than_asked_for_are_left_out_and_the_model_is_told(shop: Shop) -> None:
    answer = await shop.sql("select id from items order by id", max_rows=3)
    assert "| 3 |" in answer
    assert "| 4 |" not in answer
    assert "first 3 rows; there are more" in answer


REFUSED = {
    # writes
    "insert into log values ('x')": "Only queries",
    "update users set name = 'x'": "Only queries",
    "delete from users": "Only queries",
    "truncate log": "Only queries",
    "merge into log using users on true when matched then do nothing": "Only queries",
    "drop table log": "Only queries",
    "create table t (a int)": "Only queries",
    "alter role shop_reader superuser": "Only queries",
    "grant all on log to public": "Only queries",
    "copy users to '/tmp/x'": "Only queries",
    "copy users to program 'id'": "Only queries",
    "select * into copied from users": "refuses",
    "with gone as (delete from users returning *) select * from gone": "refuses",
    "with x as (insert into log values ('x') returning *) table x": "refuses",
    "select * from users for update": "can only be read",
    "select id from users for share": "can only be read",
    # several statements, or another statement's clothes
    "select 1; delete from users": "one statement",
    "select 1;;": "one statement",
    "select 1) dormouse_row; delete from users; select * from (select 1": "was not opened",
    "select 1 /*": "does not end",
    "select 1 union select 2) x, (select 3": "was not opened",
    "": "arguments do not fit",
    "   ": "Only queries",
    ";": "Only queries",
    "-- only a comment": "Only queries",
    "begin": "Only queries",
    "commit": "Only queries",
    "do $$ begin perform 1; end $$": "Only queries",
    "call something()": "Only queries",
    "prepare p as select 1": "Only queries",
    "execute p": "Only queries",
    "declare c cursor for select 1": "Only queries",
    "explain analyze select 1": "Only queries",
    "listen x": "Only queries",
    "notify x": "Only queries",
    "lock table users": "Only queries",
    "vacuum": "Only queries",
    "load 'x'": "Only queries",
    # settings
    "set statement_timeout = 0": "Only queries",
    "set transaction read write": "Only queries",
    "reset all": "Only queries",
    "select set_config('statement_timeout', '0', false)": "side effects: set_config",
    "select set_config('transaction_read_only', 'off', true)": "side effects: set_config",
    "select \"set_config\"('x', 'y', false)": "side effects: set_config",
    "select pg_catalog . set_config /* hidden */ ('a.b', 'y', false)": "side effects: set_config",
    "select SET_CONFIG('a.b', 'y', false)": "side effects: set_config",
    "select U&\"set\\005fconfig\"('a.b', 'y', false)": "U&",
    # functions with side effects
    "select note('x')": "side effects: note",
    "select users.note_user from users": "side effects: note_user",
    "select (u).note_user from users u": "side effects: note_user",
    "select nextval('numbers')": "side effects: nextval",
    "select setval('numbers', 7)": "side effects: setval",
    "select pg_sleep(1)": "side effects: pg_sleep",
    "select pg_advisory_lock(1)": "side effects: pg_advisory_lock",
    "select pg_notify('a', 'b')": "side effects: pg_notify",
    "select pg_terminate_backend(pg_backend_pid())": "side effects: pg_terminate_backend",
    "select pg_read_file('/etc/passwd')": "side effects: pg_read_file",
    "select * from pg_ls_dir('/')": "side effects: pg_ls_dir",
    "select lo_import('/etc/passwd')": "side effects: lo_import",
    "select pg_export_snapshot()": "side effects: pg_export_snapshot",
    "select query_to_xml('delete from users', true, true, '')": "side effects: query_to_xml",
    "select pg_logical_emit_message(false, 'a', 'b')": "side effects: pg_logical_emit_message",
    "select * from pg_stat_reset()": "side effects: pg_stat_reset",
    # what cannot be read
    "select 'open": "cannot be read",
    "select $a$ open": "does not end",
    "select \x00": "cannot be read",
    "select nothing from nowhere": "refuses the query: relation",
    "select * from users where": "refuses the query: syntax error",
    "select repeat('x', 100000) as x": "longer than 16,000 characters",
}

EVERYTHING = "select (select count(*) from users), (select count(*) from log), is_called, last_value from numbers"


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:60])
async def test_what_is_not_a_harmless_query_is_refused(shop: Shop, sql: str) -> None:
    before = await shop.fetch(
        "select count(*), (select count(*) from log), (select last_value from numbers) from users"
    )
    with pytest.raises(ToolError, match=REFUSED[sql]):
        await shop.sql(sql)
    assert before == await shop.fetch(
        "select count(*), (select count(*) from log), (select last_value from numbers) from users"
    )


async def test_the_transaction_itself_refuses_writes(shop: Shop) -> None:
    """Behind the look at function names: a function that lies about itself cannot write either."""
    async with await psycopg.AsyncConnection.connect(shop.admin_url, autocommit=True) as connection:
        await connection.execute("create function sly() returns int language plpgsql stable as "
                                 "$$ begin perform note('sly'); return 1; end $$")  # fmt: skip
    with pytest.raises(ToolError, match="can only be read"):
        await shop.sql("select sly()")
    assert await shop.fetch("select * from log") == []


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from generate_series(1, 100000000000)",
        "with recursive r as (select 1 as n union all select n + 1 from r) select max(n) from r",
        "select count(*) from items a, items b, items c, items d",
    ],
)
async def test_a_slow_query_is_cut_off_and_leaves_nothing_running(shop: Shop, sql: str) -> None:
    began = time.monotonic()
    with pytest.raises(ToolError, match="took longer than"):
        await shop.sql(sql, seconds=0.8)
    assert time.monotonic() - began < 3
    assert (
        await shop.fetch("select query from pg_stat_activity where usename = 'shop_reader' and state = 'active'") == []
    )


async def test_a_call_that_is_cancelled_leaves_nothing_running(shop: Shop) -> None:
    query = asyncio.create_task(shop.sql("select count(*) from generate_series(1, 100000000000)", seconds=30))
    busy = "select 1 from pg_stat_activity where usename = 'shop_reader' and state = 'active'"
    while not await shop.fetch(busy):
        await asyncio.sleep(0.02)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    async with asyncio.timeout(5):
        while await shop.fetch(busy):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("mighty", "its role may do more than read"),
        ("own", "it is the platform's own"),
        ("gone", "does not answer"),
        ("hidden", "Invalid enum value"),
        ("unknown", "Invalid enum value"),
    ],
)
async def test_only_databases_that_are_fit_for_it_are_read(shop: Shop, database: str, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        await shop.sql("select 1 as one", database=database)


async def test_a_lookup_is_a_tool_of_its_own(shop: Shop) -> None:
    tool = shop.tools["find_user"]
    assert tool.input_schema["required"] == ["email"]
    assert tool.input_schema["properties"]["email"]["description"] == "the address"
    answer = await shop.call("find_user", {"email": "ada@example.org"})
    assert answer == "id: 1\nname: Ada\nbalance: 12345678901234567890.0123456789"
    assert await shop.call("find_user", {"email": "' or true --"}) == "Nothing was found."


async def test_a_lookup_with_many_rows_is_cut_where_the_operator_says(shop: Shop) -> None:
    answer = await shop.call("items_of_user", {"user_id": 1})
    assert "| 2 | item 2 |" in answer
    assert "first 5 rows; there are more" in answer


@pytest.mark.parametrize("arguments", [{}, {"user_id": "1"}, {"user_id": 2**64}, {"user_id": 1, "more": 2}])
async def test_a_lookup_takes_only_what_it_declares(shop: Shop, arguments: dict[str, object]) -> None:
    with pytest.raises(ToolError, match="arguments do not fit"):
        await shop.call("items_of_user", arguments)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select %(other)s", "not declared: other"),
        ("select 1", "does not use: a"),
        ("select %(a)s % 2", "write %%"),
    ],
)
async def test_a_lookup_whose_query_and_parameters_differ_stops_the_start(sql: str, words: str) -> None:
    lookup = {"name": "x", "description": "x", "database": "d", "sql": sql, "parameters": {"a": {"description": "a"}}}
    config = msgspec.convert({"databases": {"d": {"url_env": "D"}}, "lookups": [lookup]}, Config)
    async with open_means(config, Secrets({})) as means:
        with pytest.raises(ValueError, match=words):
            _tools(means)


async def test_without_databases_there_is_no_such_tool() -> None:
    async with open_means(Config(), Secrets({})) as means:
        assert _tools(means) == []


def _tools(means: Means) -> list[Tool]:
    return [*sql_query.build_tools(means), *lookups.build_tools(means)]
