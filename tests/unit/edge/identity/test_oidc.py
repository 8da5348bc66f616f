"""Tokens of other issuers: what their claims mean here, and keys that are fetched seldom and outlive their issuer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.strict_jwt import TokenRefusedError, take_apart
from edge.auth.caller import Caller
from edge.auth.oidc.issuers import Issuer as IssuerSettings
from edge.auth.oidc.issuers import load_issuers
from edge.auth.oidc.key_set import COOL_DOWN_S, REFRESH_S, SIZE_LIMIT, STALE_S
from edge.auth.oidc.tokens import OidcTokens
from edge.auth.scopes import Role
from edge.database import Database

from tests.stack import Fleet, Platform, Stack, Tenant
from tests.unit.edge.identity.forgery import encode
from tests.unit.edge.identity.issuer import Issuer

Read = Callable[[str], Awaitable[Caller | None]]
Open = Callable[..., Read]


async def is_taken(read: Read, token: str) -> bool:
    try:
        return await read(token) is not None
    except TokenRefusedError:
        return False


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def reading(
    issuer: Issuer, database: Database, http: httpx2.AsyncClient, tenant: Tenant, clock: Clock
) -> AsyncIterator[Open]:
    """`reading(role=…)` is a reader of the issuer's tokens whose settings are as given."""
    opened: list[OidcTokens] = []

    def open_reader(**changes: Any) -> Read:
        settings = {
            "name": "corp", "issuer": issuer.url, "audience": "dormouse", "algorithms": ["RS256", "ES256"],
            "jwks_uri": f"{issuer.url}/keys", "role": {"default": "member"}, "tenant": {"value": tenant.id},
        }  # fmt: skip
        oidc = OidcTokens([IssuerSettings.model_validate({**settings, **changes})], database, http, clock)
        opened.append(oidc)

        async def read(token: str) -> Caller | None:
            digest = token.encode()
            return await oidc.recall(digest) or await oidc.read(take_apart(token), digest)

        return read

    yield open_reader
    for oidc in opened:
        await oidc.close()


async def test_a_token_speaks_for_its_issuers_user(issuer: Issuer, reading: Open, tenant: Tenant) -> None:
    caller = await reading()(issuer.token("first"))
    assert caller is not None
    assert (caller.tenant, caller.user, caller.role, caller.plan) == (tenant.id, "corp:4711", "member", "unlimited")
    assert (caller.key_id, caller.session_id) == ("", "")


@pytest.mark.parametrize(
    ("said", "role"),
    [
        (["everybody", "dm-admins"], Role.ADMIN),
        (["dm-users", "dm-readers"], Role.MEMBER),
        ("dm-readers other", Role.VIEWER),
        ("dm-readers", Role.VIEWER),
        (["dm-admins "], None),
        ([["dm-admins"]], None),
        ({"dm-admins": True}, None),
        (True, None),
        (None, None),
    ],
)
async def test_roles_follow_from_a_claim(issuer: Issuer, reading: Open, said: Any, role: Role | None) -> None:
    names = {"dm-admins": "admin", "dm-users": "member", "dm-readers": "viewer"}
    for claim, claims in (
        ("realm.roles", {"realm": {"roles": said}}),
        ("https://x.org/roles", {"https://x.org/roles": said}),
    ):
        read = reading(role={"claim": claim, "map": names})
        if role is None:
            with pytest.raises(TokenRefusedError):
                await read(issuer.token("first", claims))
        else:
            caller = await read(issuer.token("first", claims))
            assert caller is not None
            assert caller.role is role


async def test_tenants_follow_from_a_claim_and_unknown_ones_are_refused_or_made(
    issuer: Issuer, reading: Open, tenant: Tenant, stack: Stack
) -> None:
    other = await stack.database.tenant()
    by_claim = reading(tenant={"claim": "org"})
    caller = await by_claim(issuer.token("first", {"org": other.id}))
    assert caller is not None
    assert caller.tenant == other.id
    assert await by_claim(issuer.token("first", {"org": f"new-{tenant.id}"})) is None
    for hostile in ("*", "a:b", "a b", "../x", "", "x" * 129, "a\0b", "' or '1'='1", None, 1, [other.id]):
        with pytest.raises(TokenRefusedError):
            await by_claim(issuer.token("first", {"org": hostile}))
    mapped = reading(tenant={"claim": "org", "map": {"acme": tenant.id}})
    caller = await mapped(issuer.token("first", {"org": "acme"}))
    assert caller is not None
    assert caller.tenant == tenant.id
    with pytest.raises(TokenRefusedError):
        await mapped(issuer.token("first", {"org": other.id}))
    making = reading(tenant={"claim": "org"}, unknown_tenant="create")
    made = await asyncio.gather(*(making(issuer.token("first", {"org": f"new-{tenant.id}", "n": n})) for n in range(5)))
    assert {(caller.tenant, caller.plan) for caller in made if caller} == {(f"new-{tenant.id}", "free")}


async def test_a_flood_of_unknown_keys_asks_the_issuer_once_in_half_a_minute(
    issuer: Issuer, reading: Open, clock: Clock
) -> None:
    read = reading()
    stranger = rsa.generate_private_key(65537, 2048)

    async def flood(round_number: int) -> None:
        issuer.keys["stranger"] = stranger
        header = issuer.header("stranger")
        good = issuer.token("stranger")
        del issuer.keys["stranger"]
        rest = good.partition(".")[2]
        names = (encode(str({**header, "kid": f"k{round_number}-{n}"}).replace("'", '"').encode()) for n in range(300))
        answers = await asyncio.gather(*(read(f"{name}.{rest}") for name in names), return_exceptions=True)
        assert {type(answer) for answer in answers} == {TokenRefusedError}

    await flood(0)
    assert issuer.asked == 1
    clock.now += COOL_DOWN_S - 0.1
    await flood(1)
    assert issuer.asked == 1
    assert await read(issuer.token("first")), "those who are known do not notice"
    clock.now += 0.2
    await flood(2)
    assert issuer.asked == 2


async def test_an_issuer_that_is_down_for_an_hour_locks_nobody_out(issuer: Issuer, reading: Open, clock: Clock) -> None:
    read = reading()
    assert await read(issuer.token("first"))
    await issuer.stop()
    for _ in range(60):
        clock.now += 60
        assert await read(issuer.token("first", {"jti": str(clock.now)})), "a token that was not seen before"
        assert await read(issuer.token("second", {"jti": str(clock.now)})), "and of another key"
        await asyncio.sleep(0)
    clock.now += STALE_S
    with pytest.raises(DormouseError) as caught:
        await read(issuer.token("first"))
    assert caught.value.reason == ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE, "keys are not believed for ever"
    await issuer.start()
    clock.now += COOL_DOWN_S
    assert await read(issuer.token("first"))


async def test_who_is_known_does_not_wait_for_an_issuer_that_hangs(issuer: Issuer, reading: Open, clock: Clock) -> None:
    read = reading()
    assert await read(issuer.token("first"))
    issuer.answers.clear()
    clock.now += REFRESH_S
    async with asyncio.timeout(2):
        assert await read(issuer.token("first", {"jti": "new"}))
    issuer.answers.set()


async def test_an_issuer_that_never_answered_is_told_from_a_token_that_is_wrong(
    issuer: Issuer, reading: Open, clock: Clock
) -> None:
    read = reading()
    issuer.is_broken = True
    for _ in range(3):
        with pytest.raises(DormouseError) as caught:
            await read(issuer.token("first"))
        assert caught.value.reason == ErrorReason.ERROR_REASON_FUNCTION_UNAVAILABLE
    assert issuer.asked == 1
    issuer.is_broken = False
    clock.now += COOL_DOWN_S
    assert await read(issuer.token("first"))


async def test_new_keys_count_at_once_and_withdrawn_ones_not_for_long(
    issuer: Issuer, reading: Open, clock: Clock, rsa_key: rsa.RSAPrivateKey
) -> None:
    read = reading()
    old = issuer.token("second")
    assert await read(old)
    issuer.add_key("third", rsa_key)
    clock.now += COOL_DOWN_S
    assert await read(issuer.token("third"))
    assert issuer.asked == 2
    del issuer.keys["second"]
    clock.now += REFRESH_S
    assert await read(old), "the question is under way"
    async with asyncio.timeout(5):
        while issuer.asked < 3:
            await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        while await is_taken(read, old):
            await asyncio.sleep(0.01)


async def test_keys_that_are_no_good_are_passed_over(issuer: Issuer, reading: Open, rsa_key: rsa.RSAPrivateKey) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    issuer.keys["weak"] = weak
    good = issuer.jwk("first")
    issuer.extra = [
        {"kty": "oct", "kid": "secret", "k": encode(b"secret" * 8), "alg": "HS256"},
        {**good, "kid": "enc", "use": "enc"},
        {**good, "kid": "other-alg", "alg": "RS512"},
        {**good, "kid": 7},
        {"kty": "RSA", "kid": "torn", "n": "!"},
        {"kty": "EC", "kid": "off-curve", "crv": "P-256", "x": encode(bytes(32)), "y": encode(bytes(32))},
        "nonsense", None, [],
    ]  # fmt: skip
    read = reading()
    assert await read(issuer.token("first"))
    for name in ("enc", "other-alg", "weak"):
        issuer.keys[name] = issuer.keys.get(name, rsa_key)
        with pytest.raises(TokenRefusedError):
            await read(issuer.token(name))
    assert issuer.asked == 1


@pytest.mark.parametrize("trouble", ["redirect", "long", "other", "discovery of another", "discovery to anywhere"])
async def test_a_key_set_from_elsewhere_is_not_taken(issuer: Issuer, reading: Open, trouble: str) -> None:
    changes: dict[str, Any] = {}
    match trouble:
        case "redirect":
            changes["jwks_uri"] = f"{issuer.url}/elsewhere"
        case "long":
            issuer.extra = ["x" * SIZE_LIMIT]
        case "other":
            changes["jwks_uri"] = f"{issuer.url}/.well-known/openid-configuration"
        case "discovery of another":
            changes["jwks_uri"] = None
            issuer.documents = {"issuer": "https://evil.example"}
        case "discovery to anywhere":
            changes["jwks_uri"] = None
            issuer.documents = {"jwks_uri": "file:///etc/passwd"}
    with pytest.raises(DormouseError):
        await reading(**changes)(issuer.token("first"))


async def test_the_discovery_document_says_where_the_keys_are(issuer: Issuer, reading: Open) -> None:
    assert await reading(jwks_uri=None)(issuer.token("second"))


async def test_several_audiences_count_only_where_that_is_wanted(issuer: Issuer, reading: Open) -> None:
    token = issuer.token("first", {"aud": ["dormouse", "account"]})
    with pytest.raises(TokenRefusedError):
        await reading()(token)
    assert await reading(others_in_audience=True)(token)
    with pytest.raises(TokenRefusedError):
        await reading(others_in_audience=True)(issuer.token("first", {"aud": ["account"]}))


GOOD = """
issuers:
  - name: corp
    issuer: https://login.example.org
    audience: dormouse
    algorithms: [RS256]
    tenant: {claim: org, map: {acme: acme}}
    role: {claim: groups, map: {admins: admin}, default: viewer}
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[RS256]", "[HS256]", "issuers.0.algorithms"),
        ("[RS256]", "[none]", "issuers.0.algorithms"),
        ("[RS256]", "[]", "issuers.0.algorithms"),
        ("https://login", "http://login", "issuers.0.issuer: wants an https:// address"),
        ("https://login", "file:///etc/passwd#", "issuers.0.issuer: wants an https:// address"),
        ("audience: dormouse", "audience: ''", "issuers.0.audience"),
        ("audience:", "audiense:", "issuers.0.audience"),
        ("admins: admin", "admins: root", "issuers.0.role.map.admins"),
        ("{claim: org,", "{value: acme, claim: org,", "issuers.0.tenant: wants either `value` or `claim`"),
        ("{acme: acme}", "{acme: 'a:b'}", "issuers.0.tenant.map.acme"),
        ("name: corp", "name: 'Corp:1'", "issuers.0.name"),
        ("issuers:", "issuers: [", "cannot be read as YAML or JSON"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "oidc.yaml"
    file.write_text(GOOD)
    assert load_issuers(file)[0].role.default is Role.VIEWER
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"oidc\.yaml") as caught:
        load_issuers(file)
    assert says in str(caught.value)


async def test_an_edge_with_issuers_takes_their_tokens_wherever_keys_are_taken(
    fleet: Fleet, platform: Platform, issuer: Issuer, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "oidc.yaml"
    file.write_text(GOOD.replace("https://login.example.org", issuer.url).replace("acme: acme", f"acme: {tenant.id}"))
    edge = await fleet.edge(platform.agent_fn, env={"DORMOUSE_OIDC": str(file)})
    token = issuer.token("first", {"org": "acme", "groups": ["admins"]})
    async with edge.client(Tenant(tenant.id, "", token)) as http:
        me = (await http.get("/auth/me")).json()
        assert (me["credential"], me["role"], me["user"], me["user_id"]) == ("issuer", "admin", None, "corp:4711")
        thread = (await http.post("/v1/threads")).json()["id"]
        assert (await http.get("/v1/users")).status_code == 200
    async with edge.client(tenant) as http:
        assert (await http.get(f"/v1/threads/{thread}")).status_code == 200, "it is the tenant's"
    async with edge.client(Tenant(tenant.id, "", issuer.token("first", {"org": "acme"}))) as http:
        assert (await http.post("/v1/threads")).status_code == 403
    async with edge.client(Tenant(tenant.id, "", issuer.token("first", {"org": "nope"}))) as http:
        answer = await http.get("/auth/me")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert issuer.asked == 1
