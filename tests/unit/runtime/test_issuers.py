"""Key files in the hands of operators: rotations that no call notices, and issuers that may not do everything."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dormouse_runtime import issuers
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TokenIssuer, TokenVerifier
from dormouse_runtime.issuers import RotationError
from dormouse_runtime.keys import KeyFileError, generate_key, replace_file, write_key_pair


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "service-key.json"


@pytest.fixture
def trusted(tmp_path: Path, private: Path) -> Path:
    path = tmp_path / "trusted-keys.json"
    write_key_pair(private, path)
    return path


@pytest.fixture
def pass_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Files are looked at once a second: moves the clock instead of waiting."""
    real, passed = time.monotonic, [0.0]

    def move() -> None:
        passed[0] += 2

    monkeypatch.setattr(time, "monotonic", lambda: real() + passed[0])
    return move


def token(issuer: TokenIssuer, audience: str = "agent_fn", tenant: str = "acme", scopes: tuple[str, ...] = ()) -> str:
    return issuer.mint(audience=audience, tenant=tenant, user="ada", scopes=scopes)


def refuse(verifier: TokenVerifier, text: str, why: str) -> None:
    with pytest.raises(DormouseError, match=why):
        verifier.verify(text)


def test_a_rotation_goes_through_its_steps_and_every_token_is_good_in_each(
    private: Path, trusted: Path, pass_seconds: Callable[[], None]
) -> None:
    issuer, verifier = TokenIssuer.from_file(private), TokenVerifier.from_file(trusted, "agent_fn")
    first = issuer.key_id
    old = token(issuer)
    kid = issuers.prepare(private, trusted)
    pass_seconds()
    verifier.verify(token(issuer))
    assert issuer.key_id == first, "the next key is published before it signs"
    assert issuers.switch(private, trusted) == kid
    pass_seconds()
    new = token(issuer)
    assert issuer.key_id == kid
    for each in (new, old):
        verifier.verify(each)
    with pytest.raises(RotationError, match="may be good for another"):
        issuers.withdraw(private, trusted)
    earlier = time.time() - 1000
    os.utime(private, (earlier, earlier))
    assert issuers.withdraw(private, trusted) == [first]
    pass_seconds()
    verifier.verify(new)
    refuse(verifier, old, "nobody trusted")
    assert [entry.key_ids for entry in issuers.listing(trusted)] == [[kid]]
    assert private.stat().st_mode & 0o777 == 0o600
    assert not issuers.next_path(private).exists()


def test_a_step_that_would_break_calls_is_refused(private: Path, trusted: Path) -> None:
    with pytest.raises(RotationError, match="prepare the next key first"):
        issuers.switch(private, trusted)
    kid = issuers.prepare(private, trusted)
    with pytest.raises(RotationError, match="a rotation has begun"):
        issuers.prepare(private, trusted)
    content = json.loads(trusted.read_text())
    keys = content["issuers"]["dormouse-edge"]["keys"]
    content["issuers"]["dormouse-edge"]["keys"] = [key for key in keys if key["kid"] != kid]
    trusted.write_text(json.dumps(content))
    with pytest.raises(RotationError, match="does not trust"):
        issuers.switch(private, trusted)
    assert issuers.withdraw(private, trusted, at_once=True) == []


def test_a_stolen_key_is_withdrawn_at_once(private: Path, trusted: Path) -> None:
    stolen = TokenIssuer.from_file(private).key_id
    issuers.prepare(private, trusted)
    issuers.switch(private, trusted)
    assert issuers.withdraw(private, trusted, at_once=True) == [stolen]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({}, ""),
        ({"scopes": ("tools",)}, ""),
        ({"scopes": ("tools", "documents")}, "may not give these scopes"),
        ({"tenant": "other"}, "may not speak for this tenant"),
        ({"audience": "tool_fn"}, "may not call this function"),
    ],
)
def test_an_issuer_is_held_to_what_it_is_registered_for(
    private: Path, trusted: Path, tmp_path: Path, wanted: dict[str, str], why: str
) -> None:
    secret, public = generate_key()
    replace_file(tmp_path / "billing.json", secret, 0o600)
    issuers.register(trusted, "billing", public, audiences=["agent_fn"], scopes=["tools"], tenants=["acme"])
    text = token(TokenIssuer.from_file(tmp_path / "billing.json", "billing"), **wanted)  # type: ignore[arg-type]
    verifier = TokenVerifier.from_file(trusted, wanted.get("audience", "agent_fn"))
    if why:
        refuse(verifier, text, why)
        refuse(verifier, text, why)
    else:
        assert verifier.verify(text).issuer == "billing"
    TokenVerifier.from_file(trusted, "tool_fn").verify(
        token(TokenIssuer.from_file(private), "tool_fn", "any", ("all",))
    )


def test_limits_that_are_drawn_later_count_for_tokens_that_were_verified_before(
    trusted: Path, tmp_path: Path, pass_seconds: Callable[[], None]
) -> None:
    secret, public = generate_key()
    replace_file(tmp_path / "billing.json", secret, 0o600)
    issuers.register(trusted, "billing", public, audiences=["agent_fn"], scopes=[], tenants=None)
    verifier = TokenVerifier.from_file(trusted, "agent_fn")
    text = token(TokenIssuer.from_file(tmp_path / "billing.json", "billing"))
    verifier.verify(text)
    issuers.register(trusted, "billing", public, audiences=["agent_fn"], scopes=[], tenants=["other"])
    pass_seconds()
    refuse(verifier, text, "may not speak for this tenant")
    assert issuers.unregister(trusted, "billing")
    assert not issuers.unregister(trusted, "billing")
    pass_seconds()
    refuse(verifier, text, "nobody trusted")


def test_one_key_of_an_issuer_can_go_and_the_others_stay(trusted: Path) -> None:
    keys = [generate_key()[1] for _ in range(2)]
    for public in keys:
        issuers.register(trusted, "billing", public, audiences=["agent_fn"], scopes=[], tenants=None)
    assert issuers.unregister(trusted, "billing", keys[0]["kid"])
    (entry, _) = issuers.listing(trusted)
    assert (entry.name, list(entry.key_ids)) == ("billing", [keys[1]["kid"]])
    assert not issuers.unregister(trusted, "billing", "unknown")
    assert issuers.unregister(trusted, "billing", keys[1]["kid"])
    assert [entry.name for entry in issuers.listing(trusted)] == ["dormouse-edge"]


def test_what_is_no_public_key_or_is_the_platforms_own_name_is_not_registered(trusted: Path) -> None:
    secret, public = generate_key()
    before = trusted.read_text()
    for name, key, error in (("billing", secret, KeyFileError), ("dormouse-edge", public, RotationError)):
        with pytest.raises(error):
            issuers.register(trusted, name, key, audiences=[], scopes=[], tenants=None)
    with pytest.raises(RotationError, match="no request would be served"):
        issuers.unregister(trusted, "dormouse-edge")
    assert trusted.read_text() == before


@pytest.mark.parametrize("limits", [{"audience": ["agent_fn"]}, {"tenants": "acme"}, {"scopes": [1]}])
def test_limits_that_are_misspelt_are_no_limits_and_so_are_refused(trusted: Path, limits: dict[str, object]) -> None:
    content = json.loads(trusted.read_text())
    content["issuers"]["dormouse-edge"].update(limits)
    trusted.write_text(json.dumps(content))
    with pytest.raises(KeyFileError):
        TokenVerifier.from_file(trusted, "agent_fn")
