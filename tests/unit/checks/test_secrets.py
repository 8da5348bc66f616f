"""The look for secrets: finds what would be one, in every kind of file, and lets be what is none."""

from pathlib import Path

import pytest
from edge.auth import keys

from checks.secrets import scan

AWS = "AKIA" + "QWERTYUIOPASDFGH"
GITHUB = "ghp_" + "aB3dE6gH9j" * 3 + "kL2mN4"


def kinds(tmp_path: Path, name: str, text: str) -> list[str]:
    (tmp_path / name).write_text(text)
    return [finding.kind for finding in scan(tmp_path, [name])]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", f'KEY = "{AWS}"'),
        ("a.md", f"export AWS_ACCESS_KEY_ID={AWS}"),
        ("a.sh", f"token={GITHUB}"),
        ("a.pem", "-----BEGIN " + "EC PRIVATE KEY-----"),
        pytest.param("a.py", f'key = "{keys.generate()}"', id="a.py-a key of ours"),
        ("a.yaml", f"dsn: postgresql://app:{'Tr0ub4dor'}@db.example.org/app"),
        ("values.yaml", "password: " + "Tr0ub4dor&3"),
        ("values.yaml", "password: " + "sword-fish"),
        ("a.tf", 'db_password = "' + 'Tr0ub4dor&3"'),
    ],
)
def test_a_secret_is_found(tmp_path: Path, name: str, text: str) -> None:
    assert kinds(tmp_path, name, f"first\n{text}\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", f'KEY = "{AWS}"  # pragma: allowlist secret - made up'),
        ("a.md", "Authorization: Bearer dm_live_" + "0123456789" * 4 + "012345678"),  # its sum is wrong
        ("a.py", 'password = "in a test"'),
        ("a.py", 'f"postgresql://{role}:{password}@db/app"'),
        ("a.yaml", "password: ${DB_PASSWORD}"),
        ("a.yaml", "password: change-me"),
        ("a.yaml", "- X  # rotation of secrets: theirs turns by itself"),
        ("a.yaml", "secret: 0.40"),
        ("a.json", '"secret": "redis-password",'),
        ("values.yaml", "redis: {existingSecret: dormouse-redis}"),
        ("a.py", 'ID = "run_8dYh2mPz0ZcA5kQw1nRtXvBg"'),
        ("a.png", AWS),
    ],
)
def test_what_is_none_is_let_be(tmp_path: Path, name: str, text: str) -> None:
    assert kinds(tmp_path, name, text) == []


def test_the_secret_itself_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f'KEY = "{AWS}"')
    [finding] = scan(tmp_path, ["a.py"])
    assert str(finding) == "a.py:1: AWS Access Key"
