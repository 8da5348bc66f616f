"""What the agents' tools reach in transcripts and end-to-end tests: made-up providers, and a shop in a database."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

DATABASE = "dormouse_shop"
READER = "dormouse_shop_reader"
URL_VARIABLE = "DORMOUSE_SHOP_URL"
TODAY = "2026-06-01"
"""The first day of every forecast."""
_SHOP = f"""\
databases:
  shop: {{url_env: {URL_VARIABLE}, description: "A shop: users, and the items they own.", sql: true}}
lookups:
  - name: find_user
    description: Looks up a user of the shop by e-mail address.
    database: shop
    sql: select id, name, email from users where email = %(email)s
    parameters: {{email: {{description: The user's e-mail address.}}}}
  - name: items_of_user
    description: Lists the items that a user of the shop owns.
    database: shop
    sql: select id, title, price from items where owner_id = %(user_id)s order by id
    parameters: {{user_id: {{type: integer, description: The user's id.}}}}
"""  # noqa: S608 - the queries are the file's own
_TABLES = """
    create table users (id integer primary key, name text not null, email text not null unique);
    create table items (id integer primary key, title text not null, price numeric not null, owner_id integer not null
        references users);
    insert into users values (1, 'Ann Field', 'ann@example.com'), (2, 'Bo Lind', 'bo@example.com');
    insert into items values (41, 'Nest box', 24.50, 1), (42, 'Acorn jar', 9.90, 1), (43, 'Wool blanket', 31.00, 2);
"""


def providers_config(provider: str) -> str:
    """A configuration of the tools, as YAML, for a provider server at host:port."""
    return f"""\
http: {{allow_private: ["{provider}"]}}
search: {{searxng_url: "http://{provider}"}}
wikipedia: {{url: "http://{provider}/w/api.php"}}
weather: {{geocoding_url: "http://{provider}", forecast_url: "http://{provider}"}}
"""


def tools_config(provider: str) -> str:
    """The same with the shop's database and its lookups."""
    return providers_config(provider) + _SHOP


def tools_environment(shop_url: str) -> dict[str, str]:
    """The variables that the configuration names."""
    return {URL_VARIABLE: shop_url}


async def make_shop(superuser_url: str) -> str:
    """Make the shop's database in a cluster, unless it is there; returns the URL for a role that can only read it."""
    password = secrets.token_hex(16)
    async with await psycopg.AsyncConnection.connect(superuser_url, autocommit=True) as connection:
        found = await connection.execute("select 1 from pg_database where datname = %s", [DATABASE])
        is_new = await found.fetchone() is None
        name = sql.Identifier(READER)
        if is_new:
            await connection.execute(sql.SQL("create role {} login").format(name))
            await connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        await connection.execute(sql.SQL("alter role {} password {}").format(name, sql.Literal(password)))
    if is_new:
        async with await psycopg.AsyncConnection.connect(_at(superuser_url), autocommit=True) as connection:
            await connection.execute(_TABLES)
            await connection.execute(sql.SQL("grant select on users, items to {}").format(name))
    return _at(superuser_url, f"{READER}:{password}")


def _at(url: str, who: str = "") -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{who}@{host}" if who else parts.netloc, path=f"/{DATABASE}"))
