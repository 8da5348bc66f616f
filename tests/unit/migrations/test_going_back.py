"""The version before a migration works on after it: while an upgrade is under way, and after a rollback."""

import re
from pathlib import Path

import pytest

import migrations

# Those up to here came before anybody had a version to go back to.
FIRST_KEPT = 14
TAKES_AWAY = re.compile(
    r"\bdrop\s+(table|column|view|function|type|schema)\b|\brename\s+(to|column|constraint)\b"
    r"|\bset\s+not\s+null\b|\balter\s+(column\s+)?\w+\s+(set\s+data\s+)?type\b",
    re.IGNORECASE,
)
ALLOWED = "-- no version in use needs this:"
"""Stands above a statement that takes away what the last version has already done without."""


def taken_away(sql: str) -> list[str]:
    """The statements that the version before would miss something after."""
    statements = [statement.strip() for statement in sql.split(";")]
    return [s for s in statements if TAKES_AWAY.search(s) and ALLOWED not in s]


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("alter table a add column b text not null default ''; create index i on a (b); drop index j", 0),
        ("alter table a drop column b", 1),
        ("drop table if exists a; alter table b RENAME COLUMN c to d; alter table b alter c type bigint", 3),
        ("alter table a alter column b set not null", 1),
        ("-- no version in use needs this: 0.3 reads it elsewhere\ndrop table a; drop view b", 1),
    ],
)
def test_what_a_version_would_miss_is_noticed(sql: str, count: int) -> None:
    assert len(taken_away(sql)) == count


def test_migrations_take_nothing_away_from_the_version_before() -> None:
    files = sorted((Path(migrations.__file__).parent / "versions").glob("r[0-9]*.py"))
    assert len(files) >= FIRST_KEPT - 1
    for file in files:
        if int(file.name[1:5]) >= FIRST_KEPT:
            assert taken_away(file.read_text()) == [], file.name
