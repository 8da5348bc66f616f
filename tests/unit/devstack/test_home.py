"""What a home holds: secrets, ports, the recorded state; and what the environment says of it."""

import base64
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from devstack.accounts import Account, can_read, server_account
from devstack.credentials import base62, load_or_make
from devstack.errors import DevstackError
from devstack.home import Home, State, record
from devstack.ollama import base_url
from devstack.ports import FIRST, internal_port, is_free
from devstack.settings import Settings
from edge.auth import keys


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    first = load_or_make(tmp_path / "secrets")
    assert load_or_make(tmp_path / "secrets") == first
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert len({first.postgres.owner, first.postgres.application, first.postgres.superuser}) == 3


def test_the_edge_accepts_the_form_of_the_api_key(tmp_path: Path) -> None:
    key = load_or_make(tmp_path).api_key
    assert len(key) == len("dm_live_") + 43 + 6
    assert keys.is_well_formed(key)


def test_the_trusted_key_is_the_public_half_of_the_service_key(tmp_path: Path) -> None:
    credentials = load_or_make(tmp_path)
    private = json.loads(credentials.service_key.read_text())
    trusted = json.loads(credentials.trusted_keys.read_text())
    [public] = trusted["issuers"]["dormouse-edge"]["keys"]
    assert "d" not in public
    assert public == {name: value for name, value in private.items() if name != "d"}
    assert len(base64.urlsafe_b64decode(private["x"] + "=")) == 32


@pytest.mark.parametrize(("number", "text"), [(0, "000000"), (61, "00000z"), (62, "000010"), (2**32 - 1, "4gfFC3")])
def test_base62_is_padded_and_ordered_like_ascii(number: int, text: str) -> None:
    assert base62(number, 6) == text


def test_one_supervisor_holds_a_home(tmp_path: Path) -> None:
    home, other = Home(tmp_path), Home(tmp_path)
    assert not home.is_locked()
    assert home.lock()
    assert other.is_locked()
    assert not other.lock()


def test_the_state_survives_and_a_broken_one_counts_as_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    state = State(phase="ready", url="http://127.0.0.1:1", ports={"edge": 1}, processes=[record("edge", os.getpid())])
    home.save(state)
    assert home.load() == state
    (tmp_path / "state.json").write_text("{")
    assert home.load() == State()


def test_a_record_finds_its_process_and_no_later_one_with_the_same_pid(tmp_path: Path) -> None:
    ours = record("test", os.getpid())
    assert ours.find() is not None
    ours.created -= 1000
    assert ours.find() is None


def test_the_shell_lines_are_private(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.write_env("http://127.0.0.1:8080", "dm_live_x")
    assert home.env.read_text() == "DORMOUSE_URL=http://127.0.0.1:8080\nDORMOUSE_API_KEY=dm_live_x\n"
    assert stat.S_IMODE(home.env.stat().st_mode) == 0o600


def test_a_home_keeps_its_ports_unless_somebody_took_them(tmp_path: Path) -> None:
    port = internal_port(tmp_path, "agent_fn", None, set())
    assert port >= FIRST
    assert internal_port(tmp_path, "agent_fn", None, set()) == port
    other = internal_port(tmp_path, "edge", None, {port})
    assert internal_port(tmp_path, "agent_fn", other, set()) == other
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert not is_free(port)
        assert internal_port(tmp_path, "agent_fn", port, set()) != port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("gpu.example:8000", "http://gpu.example:8000"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::]:99", "http://[::1]:99"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("http://gpu.example/ollama/", "http://gpu.example:80/ollama"),
    ],
)
def test_ollama_hosts_are_read_as_ollama_reads_them(host: str, url: str) -> None:
    assert base_url(host) == url


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("DORMOUSE_PORT", "http", "DORMOUSE_PORT wants a whole number from 1 to 65535, not 'http'"),
        ("DORMOUSE_PORT", "70000", "DORMOUSE_PORT wants a whole number from 1 to 65535"),
        ("DORMOUSE_EDGE_REPLICAS", "0", "DORMOUSE_EDGE_REPLICAS wants a whole number from 1 to 8"),
        ("DORMOUSE_REDIS_URL", "localhost", "DORMOUSE_REDIS_URL wants a URL that starts with redis://"),
        (
            "DORMOUSE_POSTGRES_URL",
            "mysql://secret@x",
            "DORMOUSE_POSTGRES_URL wants a URL that starts with postgresql://",
        ),
    ],
)
def test_a_bad_setting_is_named(variable: str, value: str, wanted: str) -> None:
    with pytest.raises(DevstackError) as caught:
        Settings.read({variable: value})
    assert wanted in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_only_its_owner_can_enter_is_noticed(tmp_path: Path) -> None:
    stranger = Account("stranger", 54321, 54321)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").touch(mode=0o644)
    assert not can_read(stranger, closed / "file")
    assert can_read(stranger, Path("/bin/sh"))


def test_servers_never_run_as_root(tmp_path: Path) -> None:
    account = server_account(tmp_path)
    if os.geteuid() == 0:
        assert account is not None
        assert account.uid != 0
    else:
        assert account is None
