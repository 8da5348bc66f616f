"""More than two hundred ways to forge a token, against each of the three kinds of token: none works."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.identity import MAX_LIFETIME_S, TOKEN_TYPE, TokenVerifier
from dormouse_runtime.keys import generate_key, private_key_from_jwk
from dormouse_runtime.strict_jwt import TokenRefusedError, take_apart
from edge.auth.access_tokens import AUDIENCE, AccessTokens
from edge.auth.authenticator import Authenticator
from edge.auth.credentials import Credentials
from edge.auth.oidc.issuers import Issuer as IssuerSettings
from edge.auth.oidc.tokens import OidcTokens
from edge.auth.peppers import Peppers
from edge.auth.scopes import Role
from edge.auth.signing_keys import SigningKeys, withdraw
from edge.database import Database
from edge.identity import sessions, users
from edge.ids import new_session_id

from tests.stack import Platform, Stack, Tenant
from tests.unit.edge.identity.attacks import ATTACKS, Target
from tests.unit.edge.identity.issuer import Issuer

Takes = Callable[[str], Awaitable[bool]]
LIFE_S = 600


@pytest.fixture
async def keys(database: Database, peppers: Peppers) -> AsyncIterator[SigningKeys]:
    keys = SigningKeys(database, peppers, period_s=86_400, token_life_s=LIFE_S)
    yield keys
    await keys.close()


def oidc_settings(issuer: Issuer, tenant: str) -> IssuerSettings:
    return IssuerSettings.model_validate({
        "name": "corp", "issuer": issuer.url, "audience": "dormouse", "algorithms": ["RS256", "ES256"],
        "jwks_uri": f"{issuer.url}/keys", "role": {"default": "member"},
        "tenant": {"claim": "org", "map": {"acme": tenant}},
    })  # fmt: skip


@pytest.fixture
async def credentials(
    database: Database, peppers: Peppers, keys: SigningKeys, issuer: Issuer, http: httpx2.AsyncClient, tenant: Tenant
) -> AsyncIterator[Credentials]:
    """As the edge has them."""
    authenticator = Authenticator(database, peppers)
    access = AccessTokens(keys, database, issuer="dormouse", life_s=LIFE_S)
    oidc = OidcTokens([oidc_settings(issuer, tenant.id)], database, http)
    yield Credentials(authenticator, access, oidc)
    await authenticator.close()
    await access.close()
    await oidc.close()


@pytest.fixture
def takes(credentials: Credentials) -> Takes:
    async def authenticate(token: str) -> bool:
        return await credentials.authenticate(token) is not None

    return authenticate


@pytest.fixture
async def access(keys: SigningKeys, database: Database, peppers: Peppers, tenant: Tenant) -> Target:
    """Access tokens of a session that goes on."""
    async with database.tenant(tenant.id) as connection:
        user = await users.create_user(connection, tenant.id, email="a@example.org", role=Role.MEMBER)
        session = await sessions.begin(connection, tenant.id, user.id, timedelta(hours=1), peppers)
    key_id, private = await keys.signer()
    now = int(time.time())
    claims = {"iss": "dormouse", "aud": AUDIENCE, "sub": user.id, "tenant": tenant.id, "sid": session.session_id,
              "iat": now, "nbf": now, "exp": now + LIFE_S, "jti": "j"}  # fmt: skip
    return Target("access", private, {"alg": "EdDSA", "kid": key_id, "typ": "at+jwt"}, claims, LIFE_S)


def oidc_target(issuer: Issuer, key_id: str) -> Target:
    claims = {**issuer.claims(), "org": "acme"}
    return Target(
        f"oidc {key_id}", issuer.keys[key_id], issuer.header(key_id), claims, 86_400,
        typ_is_optional=True, nbf_is_optional=True, tenant_claim="org",
    )  # fmt: skip


def service_target(stack: Stack) -> tuple[Target, TokenVerifier]:
    jwk = json.loads(stack.credentials.service_key.read_text())
    now = int(time.time())
    claims = {"iss": "dormouse-edge", "aud": "agent_fn", "sub": "u", "tenant": "t", "scope": "", "run": "",
              "iat": now, "nbf": now, "exp": now + 300}  # fmt: skip
    header = {"alg": "EdDSA", "kid": jwk["kid"], "typ": TOKEN_TYPE}
    verifier = TokenVerifier.from_file(stack.credentials.trusted_keys, "agent_fn")
    return Target("service", private_key_from_jwk(jwk), header, claims, MAX_LIFETIME_S), verifier


async def survivors(target: Target, takes: Takes) -> list[str]:
    """The attacks that got in; the good token has to, before and after."""
    assert await takes(target.good())
    found = [name for name, make in ATTACKS.items() if await takes(make(target))]
    assert await takes(target.good())
    return found


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 200


async def test_none_gets_in_as_an_access_token(access: Target, takes: Takes) -> None:
    assert await survivors(access, takes) == []


@pytest.mark.parametrize("key_id", ["first", "second"])
async def test_none_gets_in_as_a_token_of_an_issuer(issuer: Issuer, takes: Takes, key_id: str) -> None:
    assert await survivors(oidc_target(issuer, key_id), takes) == []
    assert issuer.asked == 1, "and none of them made us ask the issuer again"


async def test_none_gets_past_the_edge(access: Target, platform: Platform) -> None:
    """The same over HTTP, as far as an HTTP client sends them."""
    refusals: set[tuple[int, str]] = set()
    async with platform.edge.client(Tenant("", "", access.good())) as http:
        assert (await http.get("/auth/me")).status_code == 200
        for make in ATTACKS.values():
            token = make(access)
            if token.isascii() and token.isprintable() and len(token) < 20_000:
                answer = await http.get("/auth/me", headers={"authorization": f"Bearer {token}"})
                refusals.add((answer.status_code, answer.json()["error"]["code"]))
        assert (await http.get("/auth/me")).status_code == 200
        twice = [("authorization", f"Bearer {access.good()}")] * 2
        async with platform.edge.client() as stranger:
            assert (await stranger.get("/auth/me", headers=twice)).status_code == 401
    assert refusals <= {(401, "invalid_token"), (401, "invalid_api_key"), (431, "headers_too_large")}, refusals
    assert (401, "invalid_token") in refusals


async def test_none_gets_in_as_a_service_token(stack: Stack) -> None:
    target, verifier = service_target(stack)

    async def takes(token: str) -> bool:
        try:
            verifier.verify(token)
        except DormouseError:
            return False
        return True

    assert await survivors(target, takes) == []


async def test_a_token_of_one_kind_is_none_of_another(
    access: Target, issuer: Issuer, takes: Takes, stack: Stack
) -> None:
    service, verifier = service_target(stack)
    oidc = oidc_target(issuer, "first")
    kinds = [access, oidc, service]
    for one in kinds:
        for other in kinds:
            if one is other:
                continue
            # As it is; under the other's name; with the other's claims; with the other's header.
            for token in (
                one.good(),
                one.with_claims(iss=other.claims["iss"]),
                one.with_claims(**other.claims),
                Target("", one.key, other.header, one.claims, 0).good(),
                Target("", one.key, other.header, other.claims, 0).good(),
                Target("", one.key, {**other.header, "kid": one.header["kid"]}, other.claims, 0).good(),
            ):
                if other is service:
                    with pytest.raises(DormouseError):
                        verifier.verify(token)
                elif one is service or token != one.good():
                    assert not await takes(token), f"{one.name} as {other.name}"


async def test_a_key_of_one_issuer_is_none_of_another(
    issuer: Issuer, database: Database, http: httpx2.AsyncClient, tenant: Tenant
) -> None:
    """Two tenants bring their own issuers, and one of them signs for the other."""
    other = await Issuer().start()
    other.add_key("first", oidc_target(issuer, "first").attackers_key)
    first, second = oidc_settings(issuer, tenant.id), oidc_settings(other, "other").model_copy(update={"name": "other"})
    oidc = OidcTokens([first, second], database, http)
    try:
        for token in (
            other.token("first", {"iss": issuer.url, "org": "acme"}),
            issuer.token("first", {"iss": other.url, "org": "acme"}),
        ):
            with pytest.raises(TokenRefusedError, match=r"[Ss]ignature"):
                await oidc.read(take_apart(token), b"digest")
        mine = other.token("first", {"org": "acme"})
        assert await oidc.read(take_apart(mine), b"digest") is None, "its `acme` is a tenant that we do not have"
    finally:
        await oidc.close()
        await other.stop()


async def test_a_token_counts_for_its_own_session_user_and_tenant_only(
    access: Target, takes: Takes, stack: Stack
) -> None:
    other = await stack.database.tenant()
    for changes in (
        {"tenant": other.id},
        {"sub": "user_" + "0" * 24},
        {"sid": new_session_id()},
        {"sid": "x' or '1'='1"},
    ):
        assert not await takes(access.with_claims(**changes)), changes
    assert await takes(access.good())


async def test_a_key_that_was_withdrawn_or_is_over_verifies_nothing(
    access: Target, keys: SigningKeys, takes: Takes, database: Database
) -> None:
    assert await takes(access.good())
    async with database.connection() as connection:
        assert await withdraw(connection, access.header["kid"])
    await keys.read()
    assert not await takes(access.good()), "not even where it is remembered"
    key_id, _ = await keys.signer()
    assert key_id != access.header["kid"]


async def test_a_key_made_up_in_place_of_the_platforms_is_unknown(access: Target, takes: Takes) -> None:
    private, public = generate_key()
    key = private_key_from_jwk(private)
    assert isinstance(key, Ed25519PrivateKey)
    assert not await takes(Target("", key, {**access.header, "kid": public["kid"]}, access.claims, LIFE_S).good())
