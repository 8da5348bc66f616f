"""The first tenant and the first API key."""

import hashlib
import hmac
import logging
import secrets
import string
from pathlib import Path

import psycopg

log = logging.getLogger("migrations")

TENANT = "default"
USER = "bootstrap"
PREFIX_LENGTH = 16


def add_bootstrap_key(connection: psycopg.Connection, key_file: Path, pepper_file: Path) -> None:
    """Make the tenant `default`, and give it the key in `key_file` if it has not got it.

    Stored is HMAC-SHA-256(pepper, key), never the key. Of several peppers, one a line, the first is the present one;
    the key is known under any of them. White space around either file's content does not count.
    """
    key = key_file.read_text().strip()
    macs = [hmac.digest(pepper, key.encode(), hashlib.sha256) for pepper in pepper_file.read_bytes().split()]
    with connection.transaction():
        connection.execute("select set_config('dormouse.tenant', %s, true)", [TENANT])
        added = _add(connection, key, macs)
    if added:
        log.info("added the bootstrap API key %s… for tenant %s", key[:PREFIX_LENGTH], TENANT)


def _add(connection: psycopg.Connection, key: str, macs: list[bytes]) -> bool:
    connection.execute(
        "insert into tenants (id, name, plan) values (%s, 'Default', 'unlimited') on conflict (id) do nothing",
        [TENANT],
    )
    inserted = connection.execute(
        "insert into api_keys (id, tenant_id, user_id, name, prefix, mac, role)"
        " select %s, %s, %s, %s, %s, %s, 'admin' where not exists (select from api_keys where mac = any (%s))"
        " on conflict (mac) do nothing",
        [_key_id(), TENANT, USER, "Bootstrap key", key[:PREFIX_LENGTH], macs[0], macs],
    )
    return inserted.rowcount == 1


def _key_id() -> str:
    alphabet = string.digits + string.ascii_letters
    return "key_" + "".join(secrets.choice(alphabet) for _ in range(24))
