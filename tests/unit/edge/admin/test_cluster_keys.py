"""The platform's keys in a Secret: made once, and renewed so that no copy is ever two steps behind."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import LEEWAY_S, MAX_LIFETIME_S, TokenIssuer, TokenVerifier
from edge.admin.__main__ import main
from edge.admin.cluster_keys import MOUNT_DELAY_S, Secret, fill, take_step

from tests.unit.edge.admin.api_server import ApiServer, api_server

DAY_S = 86_400.0
START = 1_800_000_000.0
GOOD_FOR_S = MAX_LIFETIME_S + LEEWAY_S


@pytest.fixture
def secret() -> Secret:
    made = Secret({}, {})
    fill(made, START)
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as peer:
        yield peer


def step(secret: Secret, after_s: float, *, days: float = 30) -> str:
    return take_step(secret, now=START + after_s, max_age_s=days * DAY_S)


def signing(secret: Secret) -> str:
    return str(json.loads(secret.data["service-key.json"])["kid"])


def trusted(secret: Secret) -> set[str]:
    keys = json.loads(secret.data["trusted-keys.json"])["issuers"]["dormouse-edge"]["keys"]
    return {key["kid"] for key in keys}


def written(secret: Secret, folder: Path) -> Path:
    """The copy of a pod that has just started."""
    folder.mkdir()
    for name, content in secret.data.items():
        (folder / name).write_bytes(content)
    return folder


def token(copy: Path) -> str:
    issuer = TokenIssuer.from_file(copy / "service-key.json")
    return issuer.mint(audience="agent_fn", tenant="acme", user="ada")


def accepts(copy: Path, shown: str) -> bool:
    try:
        TokenVerifier.from_file(copy / "trusted-keys.json", "agent_fn").verify(shown)
    except DormouseError:
        return False
    return True


def test_the_first_keys_are_all_there_and_fit_each_other(secret: Secret, tmp_path: Path) -> None:
    assert set(secret.data) == {"service-key.json", "trusted-keys.json", "pepper", "api-key"}
    assert secret.data["api-key"].startswith(b"dm_live_")
    copy = written(secret, tmp_path / "copy")
    assert accepts(copy, token(copy))


def test_nothing_happens_before_the_key_is_old_enough(secret: Secret) -> None:
    before = dict(secret.data)
    assert step(secret, 30 * DAY_S - 1) == ""
    assert step(secret, 3000 * DAY_S, days=0) == ""  # 0: never
    assert secret.data == before
    assert step(secret, 30 * DAY_S) == "published"


def test_each_step_waits_until_every_copy_has_followed_the_one_before(secret: Secret) -> None:
    first, at = signing(secret), 30 * DAY_S
    assert step(secret, at) == "published"
    assert signing(secret) == first
    assert len(trusted(secret)) == 2
    assert step(secret, at + MOUNT_DELAY_S - 1) == ""
    at += MOUNT_DELAY_S
    assert step(secret, at) == "switched"
    assert signing(secret) != first
    assert first in trusted(secret)
    assert "service-key.json.next" not in secret.data
    assert step(secret, at + MOUNT_DELAY_S + GOOD_FOR_S - 1) == ""
    at += MOUNT_DELAY_S + GOOD_FOR_S
    assert step(secret, at) == "withdrawn"
    assert trusted(secret) == {signing(secret)}
    assert step(secret, at + 1) == ""
    # Its age counts from when it was made, and the pepper and the first API key stay.
    assert step(secret, 60 * DAY_S - 1) == ""
    assert step(secret, 60 * DAY_S) == "published"


def test_a_rotation_that_has_begun_goes_on_after_rotations_were_switched_off(secret: Secret) -> None:
    step(secret, 30 * DAY_S)
    assert step(secret, 31 * DAY_S, days=0) == "switched"
    assert step(secret, 32 * DAY_S, days=0) == "withdrawn"
    assert step(secret, 300 * DAY_S, days=0) == ""


def test_old_tokens_are_good_until_the_old_key_is_withdrawn(secret: Secret, tmp_path: Path) -> None:
    old = token(written(secret, tmp_path / "first"))
    for number, expected in enumerate(("published", "switched", "withdrawn"), 1):
        assert step(secret, (30 + number) * DAY_S) == expected
        copy = written(secret, tmp_path / expected)
        assert accepts(copy, token(copy))
        assert accepts(copy, old) == (expected != "withdrawn")


def test_whoever_signs_with_an_old_copy_is_understood_by_whoever_reads_one(secret: Secret) -> None:
    """Through three rotations, with somebody who looks every minute, and every copy as late as a mount may be."""
    history = [(0.0, signing(secret), frozenset(trusted(secret)))]
    steps = []
    for minute in (day * 24 * 60 + after for day in (1, 2, 3) for after in range(-2, 45)):
        if taken := step(secret, 60.0 * minute, days=1):
            steps.append(taken)
            history.append((60.0 * minute, signing(secret), frozenset(trusted(secret))))
    assert steps == ["published", "switched", "withdrawn"] * 3

    def copies(begin: float, end: float) -> list[tuple[float, str, frozenset[str]]]:
        """What a pod may see at some time between the two."""
        until = [*(at for at, _, _ in history[1:]), float("inf")]
        return [seen for seen, over in zip(history, until, strict=True) if seen[0] <= end and over > begin]

    for at in {time + offset for time, _, _ in history for offset in (0, 1, MOUNT_DELAY_S - 1, MOUNT_DELAY_S)}:
        for _, signer, _ in copies(at - MOUNT_DELAY_S + 1, at):
            for _, _, trusts in copies(at - MOUNT_DELAY_S + 1, at + GOOD_FOR_S):
                assert signer in trusts


def run(server: ApiServer, *options: str) -> int:
    command = ("admin", "service-keys", "cluster", "--secret", "dm-keys", "--account", str(server.account))
    return main([*command, "--api-server", server.address, *options])


def content(server: ApiServer) -> dict[str, bytes]:
    return {name: base64.b64decode(value) for name, value in server.secret["data"].items()}


def test_an_empty_secret_is_filled_once(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server) == 0
    assert "Filled the Secret dm-keys." in capsys.readouterr().out
    made = content(server)
    assert set(made) == {"service-key.json", "trusted-keys.json", "pepper", "api-key"}
    metadata = server.secret["metadata"]
    assert metadata["labels"] == {"a": "b"}
    assert {"dormouse/key-made-at", "dormouse/key-step-at"} <= set(metadata["annotations"])
    assert run(server, "--max-age-days", "30") == 0
    assert "Nothing is due." in capsys.readouterr().out
    assert content(server) == made
    assert server.asked == ["GET", "PUT", "GET"]


def test_a_step_that_is_due_is_taken_in_the_cluster(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    run(server)
    server.secret["metadata"]["annotations"]["dormouse/key-made-at"] = "0"
    assert run(server, "--max-age-days", "30") == 0
    assert "published" in capsys.readouterr().out
    assert "service-key.json.next" in content(server)
    # The next run comes too early, whoever starts it.
    assert run(server, "--max-age-days", "30") == 0
    assert "Nothing is due." in capsys.readouterr().out


def test_no_key_is_ever_printed(server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    run(server)
    printed = capsys.readouterr()
    for secret in (content(server)["pepper"], content(server)["api-key"]):
        assert secret.decode() not in printed.out + printed.err


def spoil_token(server: ApiServer) -> None:
    server.token = "another"


def spoil_data(server: ApiServer) -> None:
    server.secret["data"] = {"service-key.json": "e30=", "pepper": "eA=="}


def spoil_version(server: ApiServer) -> None:
    server.changed_meanwhile = True


def spoil_name(server: ApiServer) -> None:
    server.secret["metadata"]["name"] = "others"


def spoil_address(server: ApiServer) -> None:
    server.address = "kubernetes.default"


def spoil_namespace(server: ApiServer) -> None:
    (server.account / "namespace").unlink()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_token, "refuses to GET the Secret (401): Unauthorized"),
        (spoil_data, "is there without api-key, trusted-keys.json: complete or delete it"),
        (spoil_version, "refuses to PUT the Secret (409): the object has been modified"),
        (spoil_name, 'refuses to GET the Secret (404): secrets "dm-keys" not found'),
        (spoil_address, "--api-server wants host:port, not 'kubernetes.default'"),
        (spoil_namespace, "account/namespace"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    server: ApiServer, spoil: Any, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(server)
    before = json.dumps(server.secret)
    assert run(server) == 1
    assert complaint in capsys.readouterr().err
    assert json.dumps(server.secret) == before


def test_an_api_server_with_another_certificate_is_not_told_the_token(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with api_server(other) as stranger:
        (server.account / "ca.crt").write_bytes((stranger.account / "ca.crt").read_bytes())
        assert run(server) == 1
    assert "certificate verify failed" in capsys.readouterr().err
    assert server.asked == []


def test_outside_of_a_cluster_it_says_what_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "service-keys", "cluster", "--secret", "dm-keys", "--api-server", ""]) == 1
    assert "--api-server and --account" in capsys.readouterr().err
