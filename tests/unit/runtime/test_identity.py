"""Service tokens: who is believed, and what is refused (RFC 8725)."""

import base64
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from dormouse.common.v1 import error_pb2
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import TOKEN_TYPE, Identity, TokenIssuer, TokenVerifier, current_identity
from dormouse_runtime.keys import KeyFileError, generate_key, private_key_from_jwk, write_key_pair

Mint = Callable[..., str]


@pytest.fixture
def private_path(tmp_path: Path) -> Path:
    return tmp_path / "private.json"


@pytest.fixture
def trusted_path(tmp_path: Path, private_path: Path) -> Path:
    path = tmp_path / "trusted.json"
    write_key_pair(private_path, path)
    return path


@pytest.fixture
def verifier(trusted_path: Path) -> TokenVerifier:
    return TokenVerifier.from_file(trusted_path, "agent_fn")


@pytest.fixture
def issuer(private_path: Path, trusted_path: Path) -> TokenIssuer:
    return TokenIssuer.from_file(private_path)


@pytest.fixture
def forge(private_path: Path, trusted_path: Path) -> Mint:
    """Signs whatever it is told with the right key."""
    jwk = json.loads(private_path.read_text())
    key = private_key_from_jwk(jwk)

    def sign(headers: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        usual = {
            "iss": "dormouse-edge",
            "aud": "agent_fn",
            "sub": "ada",
            "tenant": "acme",
            "scope": "",
            "run": "",
            "iat": now,
            "nbf": now,
            "exp": now + 60,
        }
        header = {"alg": "EdDSA", "kid": jwk["kid"], "typ": TOKEN_TYPE, **(headers or {})}
        signed = ".".join(
            _segment({name: value for name, value in part.items() if value is not None})
            for part in (header, {**usual, **claims})
        )
        return f"{signed}.{_base64(key.sign(signed.encode()))}"

    return sign


def _segment(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refuse(verifier: TokenVerifier, token: str, why: str) -> None:
    with pytest.raises(DormouseError, match=why) as caught:
        verifier.verify(token)
    assert caught.value.reason == error_pb2.ERROR_REASON_UNAUTHENTICATED


def test_a_minted_token_says_who_calls(issuer: TokenIssuer, verifier: TokenVerifier) -> None:
    token = issuer.mint(audience="agent_fn", tenant="acme", user="ada", scopes=("runs", "admin"), run_id="run_1")
    expected = Identity("acme", "ada", frozenset({"admin", "runs"}), "run_1", "dormouse-edge")
    assert verifier.verify(token) == expected
    assert verifier.verify(token) is verifier.verify(token)


def test_a_token_for_another_function_is_refused(issuer: TokenIssuer, verifier: TokenVerifier) -> None:
    refuse(verifier, issuer.mint(audience="tool_fn", tenant="acme", user="ada"), "another function")


def test_a_token_for_several_functions_is_refused(forge: Mint, verifier: TokenVerifier) -> None:
    refuse(verifier, forge(aud=["agent_fn", "tool_fn"]), "another function")


def test_an_expired_token_is_refused(forge: Mint, verifier: TokenVerifier) -> None:
    now = int(time.time())
    refuse(verifier, forge(iat=now - 100, nbf=now - 100, exp=now - 10), "expired")


def test_clocks_may_differ_by_a_few_seconds(forge: Mint, verifier: TokenVerifier) -> None:
    now = int(time.time())
    verifier.verify(forge(iat=now + 3, nbf=now + 3, exp=now + 60))
    verifier.verify(forge(iat=now - 60, nbf=now - 60, exp=now - 2))


def test_a_token_from_the_future_is_refused(forge: Mint, verifier: TokenVerifier) -> None:
    now = int(time.time())
    refuse(verifier, forge(nbf=now + 60, exp=now + 120), "not valid yet")


def test_a_token_that_lives_too_long_is_refused(forge: Mint, verifier: TokenVerifier) -> None:
    now = int(time.time())
    refuse(verifier, forge(iat=now, exp=now + 901), "longer than 15 minutes")
    refuse(verifier, forge(iat=now - 2000, nbf=now - 2000, exp=now + 60), "longer than 15 minutes")


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "tenant", "iat", "nbf", "exp"])
def test_every_claim_is_needed(forge: Mint, verifier: TokenVerifier, claim: str) -> None:
    refuse(verifier, forge(**{claim: None}), "not accepted")


@pytest.mark.parametrize("claims", [{"tenant": ""}, {"tenant": 7}, {"scope": ["a"]}, {"run": 1}])
def test_malformed_claims_are_refused(forge: Mint, verifier: TokenVerifier, claims: dict[str, Any]) -> None:
    refuse(verifier, forge(**claims), "malformed")


@pytest.mark.parametrize(
    "claims",
    [{"exp": "soon"}, {"iat": "now"}, {"nbf": [1]}, {"exp": 10**400}, {"exp": math.inf}, {"exp": "9999999999"}],
)
def test_times_that_are_no_times_are_refused(forge: Mint, verifier: TokenVerifier, claims: dict[str, Any]) -> None:
    refuse(verifier, forge(**claims), "not accepted")


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "OKP"}},
        {"crit": ["exp"]},
        {"kid": "another"},
        {"kid": ""},
        {"kid": None},
        {"kid": 7},
    ],
)
def test_a_header_outside_of_the_profile_is_refused(
    forge: Mint, verifier: TokenVerifier, headers: dict[str, Any]
) -> None:
    refuse(verifier, forge(headers), "not accepted")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256", "Ed25519", "eddsa"])
def test_no_other_algorithm_is_accepted(forge: Mint, verifier: TokenVerifier, algorithm: str) -> None:
    header, payload, signature = forge().split(".")
    kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    forged = _segment({"alg": algorithm, "kid": kid, "typ": TOKEN_TYPE})
    refuse(verifier, f"{forged}.{payload}.{signature}", "not accepted")
    refuse(verifier, f"{forged}.{payload}.", "not accepted")


def test_a_public_key_used_as_an_hmac_secret_is_refused(
    forge: Mint, verifier: TokenVerifier, trusted_path: Path
) -> None:
    public = json.loads(trusted_path.read_text())["issuers"]["dormouse-edge"]["keys"][0]
    token = jwt.encode({"iss": "dormouse-edge"}, public["x"], "HS256", {"kid": public["kid"], "typ": TOKEN_TYPE})
    refuse(verifier, token, "not accepted")


def test_a_changed_claim_breaks_the_signature(forge: Mint, verifier: TokenVerifier) -> None:
    header, _, signature = forge().split(".")
    _, other, _ = forge(tenant="another").split(".")
    refuse(verifier, f"{header}.{other}.{signature}", "signature")


def test_an_issuer_cannot_speak_as_another(trusted_path: Path, tmp_path: Path) -> None:
    write_key_pair(tmp_path / "batch.json", trusted_path, "batch-jobs")
    verifier = TokenVerifier.from_file(trusted_path, "agent_fn")
    own = TokenIssuer.from_file(tmp_path / "batch.json", "batch-jobs")
    assert verifier.verify(own.mint(audience="agent_fn", tenant="acme", user="job")).issuer == "batch-jobs"
    posing = TokenIssuer.from_file(tmp_path / "batch.json", "dormouse-edge")
    refuse(verifier, posing.mint(audience="agent_fn", tenant="acme", user="job"), "nobody trusted")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "ey.ey.ey", "\x00", "ü.ü.ü", "a" * 9000, "." * 8000])
def test_garbage_is_refused(verifier: TokenVerifier, token: str) -> None:
    refuse(verifier, token, "not accepted")


def test_a_header_that_is_no_object_is_refused(verifier: TokenVerifier) -> None:
    for value in (b"[]", b"1", b'"x"', b"null", b"[" * 3000):
        head = _base64(value)
        refuse(verifier, f"{head}.{head}.c2ln", "not accepted")


def test_a_known_token_is_refused_once_it_has_expired(forge: Mint, verifier: TokenVerifier) -> None:
    now = int(time.time())
    token = forge(iat=now - 60, nbf=now - 60, exp=now - 4)
    verifier.verify(token)
    time.sleep(now + 1.01 - time.time())  # five seconds of leeway are over then
    refuse(verifier, token, "expired")


def test_a_new_key_is_trusted_and_a_withdrawn_one_is_not(
    issuer: TokenIssuer, trusted_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = TokenVerifier.from_file(trusted_path, "agent_fn")
    old = issuer.mint(audience="agent_fn", tenant="acme", user="ada")
    verifier.verify(old)

    kid = write_key_pair(tmp_path / "next.json", trusted_path)
    new = TokenIssuer.from_file(tmp_path / "next.json").mint(audience="agent_fn", tenant="acme", user="ada")
    let_seconds_pass(monkeypatch)
    verifier.verify(new)
    verifier.verify(old)

    trusted = json.loads(trusted_path.read_text())
    keys = trusted["issuers"]["dormouse-edge"]["keys"]
    trusted["issuers"]["dormouse-edge"]["keys"] = [key for key in keys if key["kid"] == kid]
    trusted_path.write_text(json.dumps(trusted))
    let_seconds_pass(monkeypatch)
    verifier.verify(new)
    refuse(verifier, old, "nobody trusted")


def test_a_broken_key_file_changes_nothing(
    issuer: TokenIssuer, verifier: TokenVerifier, trusted_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issuer.mint(audience="agent_fn", tenant="acme", user="ada")
    for content in ("", "{", "[]", '{"issuers": {"dormouse-edge": {}}}'):
        trusted_path.write_text(content)
        let_seconds_pass(monkeypatch)
        verifier.verify(token)
    trusted_path.unlink()
    let_seconds_pass(monkeypatch)
    verifier.verify(token)


def let_seconds_pass(monkeypatch: pytest.MonkeyPatch, real: Callable[[], float] = time.monotonic) -> None:
    """The key file is looked at once a second: move the clock instead of waiting."""
    let_seconds_pass.passed += 2  # type: ignore[attr-defined]
    monkeypatch.setattr(time, "monotonic", lambda: real() + let_seconds_pass.passed)  # type: ignore[attr-defined]


let_seconds_pass.passed = 0.0  # type: ignore[attr-defined]


def test_the_cache_is_bounded(issuer: TokenIssuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dormouse_runtime.identity._CACHE_LIMIT", 10)
    for number in range(25):
        verifier.verify(issuer.mint(audience="agent_fn", tenant=f"t{number}", user="ada"))
    assert len(verifier._cache) <= 10


@pytest.mark.parametrize("ttl_s", [0, -1, 901])
def test_no_token_is_minted_that_nobody_would_accept(issuer: TokenIssuer, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="lives at most 900 s"):
        issuer.mint(audience="agent_fn", tenant="acme", user="ada", ttl_s=ttl_s)
    with pytest.raises(ValueError, match="needs a tenant"):
        issuer.mint(audience="agent_fn", tenant="", user="ada")


def test_there_is_no_identity_outside_of_a_handler() -> None:
    with pytest.raises(RuntimeError, match="inside a gRPC handler"):
        current_identity()


def test_private_keys_are_for_their_owner_only(private_path: Path, trusted_path: Path) -> None:
    assert private_path.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in private_path.parent.iterdir()} == {"private.json", "trusted.json"}


def test_a_private_key_among_the_trusted_ones_is_an_error(tmp_path: Path) -> None:
    private, _ = generate_key()
    path = tmp_path / "trusted.json"
    path.write_text(json.dumps({"issuers": {"dormouse-edge": {"keys": [private]}}}))
    with pytest.raises(KeyFileError, match="replace that key"):
        TokenVerifier.from_file(path, "agent_fn")


def test_key_files_that_hold_something_else_are_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        TokenVerifier.from_file(path, "agent_fn")
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        TokenIssuer.from_file(path)
    x448 = {
        "kty": "OKP",
        "crv": "Ed448",
        "kid": "k",
        "x": Ed448PrivateKey.generate().public_key().public_bytes_raw().hex(),
    }
    for content in ("{", "[]", "{}", '{"issuers": []}', json.dumps({"issuers": {"a": {"keys": [x448]}}})):
        path.write_text(content)
        with pytest.raises(KeyFileError, match=r"keys\.json"):
            TokenVerifier.from_file(path, "agent_fn")
        with pytest.raises(KeyFileError, match=r"keys\.json"):
            TokenIssuer.from_file(path)


def test_a_trusted_file_that_is_broken_is_not_overwritten(tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.json"
    trusted.write_text("{")
    with pytest.raises(KeyFileError):
        write_key_pair(tmp_path / "private.json", trusted)
    assert trusted.read_text() == "{"
    assert not (tmp_path / "private.json").exists()


def test_a_rotation_from_the_command_line_keeps_the_old_key(
    issuer: TokenIssuer, private_path: Path, trusted_path: Path
) -> None:
    command = [sys.executable, "-m", "dormouse_runtime.keys", str(private_path), str(trusted_path)]
    subprocess.run(command, check=True, timeout=30)
    verifier = TokenVerifier.from_file(trusted_path, "agent_fn")
    for each in (issuer, TokenIssuer.from_file(private_path)):
        verifier.verify(each.mint(audience="agent_fn", tenant="acme", user="ada"))
