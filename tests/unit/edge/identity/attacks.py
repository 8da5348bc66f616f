"""What has been tried on JWTs: each attack makes a token from what an attacker of a target could know, or more.

Where an attack is signed with the target's own key, no attacker could make it, but a sloppy issuer or a defect of ours:
what is odd is refused whoever has signed it.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unit.edge.identity.forgery import Sign, constant, decode, encode, forge, signer, with_secret

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
RSA_KEY = rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Target:
    """Whoever verifies: a token that it takes, and the key behind it."""

    name: str
    key: Any
    header: dict[str, Any]
    claims: dict[str, Any]
    max_lifetime_s: int
    typ_is_optional: bool = False
    nbf_is_optional: bool = False
    tenant_claim: str = "tenant"
    user_claim: str = "sub"

    @property
    def sign(self) -> Sign:
        return signer(self.key)

    def good(self) -> str:
        return forge(self.header, self.claims, self.sign)

    def with_header(self, **changes: Any) -> str:
        """None takes a name away."""
        return forge(_changed(self.header, changes), self.claims, self.sign)

    def with_claims(self, **changes: Any) -> str:
        return forge(self.header, _changed(self.claims, changes), self.sign)

    def raw_claims(self, old: str, new: str) -> str:
        text = json.dumps(self.claims)
        assert old in text
        return forge(self.header, text.replace(old, new).encode(), self.sign)

    @property
    def attackers_key(self) -> Any:
        """Of the same kind as the target's."""
        if isinstance(self.key, Ed25519PrivateKey):
            return Ed25519PrivateKey.generate()
        return RSA_KEY if isinstance(self.key, rsa.RSAPrivateKey) else ec.generate_private_key(ec.SECP256R1())

    def public_bytes(self, encoding: Encoding = Encoding.PEM) -> bytes:
        found: bytes = self.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
        return found

    def jwk(self, key: Any) -> dict[str, Any]:
        """The public JWK of a key of the same kind."""
        algorithm = jwt.get_algorithm_by_name(self.header["alg"])
        found: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
        return found


class _Gone:
    """Takes a name away."""


GONE = _Gone()
ATTACKS: dict[str, Callable[[Target], str]] = {}
Attack = Callable[[Target], str]


def attack(name: str) -> Callable[[Attack], Attack]:
    def keep(make: Attack) -> Attack:
        assert name not in ATTACKS
        ATTACKS[name] = make
        return make

    return keep


def attacks(what: str, values: Iterable[Any], make: Callable[[Target, Any], str]) -> None:
    """One for each value."""
    for value in values:
        attack(f"{what} {str(value)[:40]!r} of type {type(value).__name__}")(partial(_of, make=make, value=value))


def _of(target: Target, make: Callable[[Target, Any], str], value: Any) -> str:
    return make(target, value)


def _changed(part: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**part, **changes}.items() if value is not GONE}


def _now() -> int:
    return int(time.time())


# The algorithm.
WRONG_ALGORITHMS = ("none", "None", "nOnE", "NONE", "", None, ["EdDSA"], "EdDSA ", "eddsa", "rs256")
attacks(
    "alg, without a signature,",
    WRONG_ALGORITHMS,
    lambda t, alg: forge({**t.header, "alg": alg}, t.claims, constant(b"")),
)
attacks("alg, with the signature,", WRONG_ALGORITHMS, lambda t, alg: t.with_header(alg=alg))
ATTACKS["alg none, the dot left out"] = lambda t: forge({**t.header, "alg": "none"}, t.claims, constant(b"")).rstrip(
    "."
)
ATTACKS["alg left out"] = lambda t: t.with_header(alg=GONE)
ATTACKS["HS256 with the public key in PEM"] = lambda t: _confused(t, t.public_bytes())
ATTACKS["HS256 with the public key in PEM, stripped"] = lambda t: _confused(t, t.public_bytes().strip())
ATTACKS["HS256 with the public key in DER"] = lambda t: _confused(t, t.public_bytes(Encoding.DER))
ATTACKS["HS256 with the JWK"] = lambda t: _confused(t, json.dumps(t.jwk(t.key)).encode())
ATTACKS["HS256 with an empty secret"] = lambda t: _confused(t, b"")
ATTACKS["HS256 with the key id"] = lambda t: _confused(t, str(t.header["kid"]).encode())
ATTACKS["HS512 with the public key"] = lambda t: forge(
    {**t.header, "alg": "HS512"}, t.claims, with_secret(t.public_bytes(), "sha512")
)
ATTACKS["another algorithm with a key of its own"] = lambda t: forge(
    {**t.header, "alg": "ES384"}, t.claims, signer(ec.generate_private_key(ec.SECP256R1()))
)
ATTACKS["PS256 by an RSA key"] = lambda t: forge({**t.header, "alg": "PS256"}, t.claims, signer(RSA_KEY))


def _confused(target: Target, secret: bytes) -> str:
    return forge({**target.header, "alg": "HS256"}, target.claims, with_secret(secret))


# The key, and what could lead to another.
ATTACKS["a key of the attacker's under the right id"] = lambda t: forge(t.header, t.claims, signer(t.attackers_key))
ATTACKS["a key of the attacker's under its own id"] = lambda t: forge(
    {**t.header, "kid": "mine"}, t.claims, signer(t.attackers_key)
)
ATTACKS["kid left out"] = lambda t: t.with_header(kid=GONE)
WRONG_KEY_IDS: tuple[Any, ...] = (
    *("", "../../../../dev/null", "/proc/self/environ", "..\\..\\windows\\win.ini", "file:///dev/null"),
    *("' or '1'='1", "x' union select 'c2VjcmV0' --", "x'; drop table signing_keys; --", "$(id)", "|id", "{{7*7}}"),
    *("a\0b", "\0", "http://127.0.0.1:1/keys", "k" * 5000, None, True, 0, 1.5, [], {}, ["x"], {"x": 1}),
)
attacks(
    "kid, the attacker's key,",
    WRONG_KEY_IDS,
    lambda t, kid: forge({**t.header, "kid": kid}, t.claims, signer(t.attackers_key)),
)
attacks(
    "kid, an empty secret,",
    WRONG_KEY_IDS,
    lambda t, kid: forge({**t.header, "kid": kid, "alg": "HS256"}, t.claims, with_secret(b"")),
)
ELSEWHERE = "http://127.0.0.1:1/keys"
attacks("a good signature and", ("jku", "x5u"), lambda t, name: t.with_header(**{name: ELSEWHERE}))
attacks(
    "the attacker's key and",
    ("jku", "x5u"),
    lambda t, name: forge({**t.header, name: ELSEWHERE, "kid": "mine"}, t.claims, signer(t.attackers_key)),
)


@attack("jwk in the header, signed with it")
def _embedded(target: Target) -> str:
    key = target.attackers_key
    return forge({**target.header, "jwk": target.jwk(key)}, target.claims, signer(key))


ATTACKS["jwk in the header beside a good signature"] = lambda t: t.with_header(jwk=t.jwk(t.key))
ATTACKS["x5c in the header"] = lambda t: t.with_header(x5c=[encode(t.public_bytes(Encoding.DER))])

# Headers that change what a signature means.
ATTACKS["crit with an extension that nobody knows"] = lambda t: t.with_header(crit=["exp2"], exp2=1)
ATTACKS["crit, empty"] = lambda t: t.with_header(crit=[])
ATTACKS["crit that is no list"] = lambda t: t.with_header(crit="exp")
ATTACKS["b64 false, told as critical"] = lambda t: _unencoded(t, {"b64": False, "crit": ["b64"]})
ATTACKS["b64 false, not told"] = lambda t: _unencoded(t, {"b64": False})
ATTACKS["b64 false with the payload as ever"] = lambda t: t.with_header(b64=False, crit=["b64"])
ATTACKS["zip"] = lambda t: t.with_header(zip="DEF")
ATTACKS["cty JWT around a good token"] = lambda t: forge({**t.header, "cty": "JWT"}, t.good().encode(), t.sign)
ATTACKS["a good token as a token's claims"] = lambda t: forge(t.header, json.dumps(t.good()).encode(), t.sign)
ATTACKS["enc in the header"] = lambda t: t.with_header(enc="A128GCM")
ATTACKS["encrypted (five segments)"] = lambda t: ".".join(
    [encode(b'{"alg":"dir","enc":"A128GCM"}'), "", encode(b"iv"), encode(t.good().encode()), encode(b"tag")]
)
ATTACKS["as JSON (RFC 7515, 7.2.2)"] = lambda t: _as_json(t.good())
ATTACKS["a header twice"] = lambda t: forge(
    (json.dumps(t.header)[:-1] + f', "alg": "{t.header["alg"]}"}}').encode(), t.claims, t.sign
)
ATTACKS["a header more than agreed on"] = lambda t: t.with_header(url="https://example.org")


def _unencoded(target: Target, more: dict[str, Any]) -> str:
    header = encode(json.dumps({**target.header, **more}).encode())
    claims = json.dumps(target.claims)
    signature = target.sign(f"{header}.{claims}".encode())
    return f"{header}..{encode(signature)}"


def _as_json(token: str) -> str:
    protected, payload, signature = token.split(".")
    return json.dumps({"payload": payload, "protected": protected, "signature": signature})


# What it is for.
WRONG_TYPES = (
    "jwe",
    "JOSE",
    "logout+jwt",
    "dpop+jwt",
    "secevent+jwt",
    "application/at+jwt",
    "AT+JWT\0",
    1,
    None,
    ["at+jwt"],
)
attacks("typ", WRONG_TYPES, lambda t, typ: t.with_header(typ=typ))
ATTACKS["typ left out"] = lambda t: t.with_header(typ="no" if t.typ_is_optional else GONE)
WRONG_AUDIENCES: tuple[Any, ...] = (
    "",
    "somebody-else",
    0,
    True,
    None,
    {},
    [],
    ["somebody-else"],
    [[]],
    {"dormouse-api": 1},
)
attacks("aud", WRONG_AUDIENCES, lambda t, aud: t.with_claims(aud=aud))
ATTACKS["aud left out"] = lambda t: t.with_claims(aud=GONE)
ATTACKS["aud, a list with ours in it"] = lambda t: t.with_claims(aud=[t.claims["aud"], "somebody-else"])
ATTACKS["aud, a list of ours"] = lambda t: t.with_claims(aud=[t.claims["aud"]])
ATTACKS["aud with a blank more"] = lambda t: t.with_claims(aud=t.claims["aud"] + " ")
ATTACKS["aud in capitals"] = lambda t: t.with_claims(aud=t.claims["aud"].upper())
ATTACKS["iss left out"] = lambda t: t.with_claims(iss=GONE)
attacks("iss", ("", "https://evil.example", None, 0, True, {}), lambda t, iss: t.with_claims(iss=iss))
ATTACKS["iss in a list"] = lambda t: t.with_claims(iss=[t.claims["iss"]])
ATTACKS["iss with a slash more"] = lambda t: t.with_claims(iss=t.claims["iss"] + "/")
ATTACKS["iss in capitals"] = lambda t: t.with_claims(iss=t.claims["iss"].upper())
ATTACKS["iss with a NUL behind"] = lambda t: t.with_claims(iss=t.claims["iss"] + "\0")

# When.
ATTACKS["expired"] = lambda t: t.with_claims(iat=_now() - 120, nbf=_now() - 120, exp=_now() - 60)
ATTACKS["exp left out"] = lambda t: t.with_claims(exp=GONE)
WRONG_DATES: tuple[Any, ...] = (True, False, None, "", "soon", [], {}, -1, 0, 10**30, 2**63, 1e300, 2**41)
attacks("exp", WRONG_DATES, lambda t, exp: t.with_claims(exp=exp))
ATTACKS["exp as text"] = lambda t: t.with_claims(exp=str(t.claims["exp"]))
attacks(
    "exp, as it is written,",
    ("1e999", "-1e999", "NaN", "Infinity", "9" * 5000),
    lambda t, number: t.raw_claims(f'"exp": {t.claims["exp"]}', f'"exp": {number}'),
)
ATTACKS["nbf in an hour"] = lambda t: t.with_claims(nbf=_now() + 3600, exp=_now() + 3700)
ATTACKS["iat in an hour"] = lambda t: t.with_claims(iat=_now() + 3600, exp=_now() + 3700)
ATTACKS["iat left out"] = lambda t: t.with_claims(iat=GONE)
attacks("nbf", (True, "now", -5, 10**30), lambda t, date: t.with_claims(nbf=date))
attacks("iat", (True, "now", -5, 10**30), lambda t, date: t.with_claims(iat=date))
ATTACKS["made for longer than agreed on"] = lambda t: t.with_claims(exp=_now() + t.max_lifetime_s + 60)

# Whose.
attacks(
    "tenant",
    ("", None, 0, True, [], {}, ["a"], "a\0b", "a\nb", "a" * 300),
    lambda t, value: t.with_claims(**{t.tenant_claim: value}),
)
ATTACKS["tenant left out"] = lambda t: t.with_claims(**{t.tenant_claim: GONE})
ATTACKS["tenant twice"] = lambda t: t.raw_claims(
    f'"{t.tenant_claim}"', f'"{t.tenant_claim}": "other", "{t.tenant_claim}"'
)
ATTACKS["tenant twice, once in other letters"] = lambda t: t.raw_claims(
    f'"{t.tenant_claim}"',
    f'"{t.tenant_claim[0]}\\u{ord(t.tenant_claim[1]):04x}{t.tenant_claim[2:]}": "other", "{t.tenant_claim}"',
)
ATTACKS["exp twice"] = lambda t: t.raw_claims('"exp"', '"exp": 1, "exp"')
attacks("user", (None, 0, [], "a\0b"), lambda t, value: t.with_claims(**{t.user_claim: value}))


# The text itself.
@attack("a changed payload under the old signature")
def _changed_payload(target: Target) -> str:
    header, _, signature = target.good().split(".")
    return f"{header}.{encode(json.dumps({**target.claims, 'sub': 'root'}).encode())}.{signature}"


@attack("a changed header under the old signature")
def _changed_header(target: Target) -> str:
    _, claims, signature = target.good().split(".")
    return f"{encode(json.dumps({**target.header, 'x5t': 'a'}).encode())}.{claims}.{signature}"


@attack("the last bits of the base64 text changed")
def _not_canonical(target: Target) -> str:
    token = target.good()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = alphabet[alphabet.index(token[-1]) ^ 1]
    assert decode(token.rpartition(".")[2][:-1] + twin) == decode(token.rpartition(".")[2])
    return token[:-1] + twin


@attack("a signature with the group's order added (malleable)")
def _malleable(target: Target) -> str:
    signed, _, signature = target.good().rpartition(".")
    raw = decode(signature)
    if len(raw) != 64:
        return f"{signed}.{encode(raw + bytes(1))}"
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    return f"{signed}.{encode(raw[:32] + s.to_bytes(32, 'little'))}"


ATTACKS["signature of zeros"] = lambda t: forge(t.header, t.claims, constant(bytes(64)))
ATTACKS["signature of zeros as ES256 (psychic)"] = lambda t: forge(
    {**t.header, "alg": "ES256"}, t.claims, constant(bytes(64))
)
ATTACKS["signature of 256 zeros"] = lambda t: forge(t.header, t.claims, constant(bytes(256)))
ATTACKS["signature of one byte"] = lambda t: forge(t.header, t.claims, constant(b"\1"))
ATTACKS["signature left out"] = lambda t: t.good().rpartition(".")[0] + "."
ATTACKS["signature of another token"] = lambda t: (
    t.good().rpartition(".")[0] + "." + t.with_claims(jti="another").rpartition(".")[2]
)
ATTACKS["signature cut"] = lambda t: t.good()[:-4]
ATTACKS["cut in the middle"] = lambda t: t.good()[: len(t.good()) // 2]
ATTACKS["claims left out"] = lambda t: f"{t.good().split('.')[0]}..{t.good().split('.')[2]}"
ATTACKS["only dots"] = lambda t: ".."
ATTACKS["two segments"] = lambda t: t.good().rpartition(".")[0]
ATTACKS["four segments"] = lambda t: t.good() + "." + encode(b"more")
ATTACKS["padded base64"] = lambda t: t.good() + "="
ATTACKS["a blank inside"] = lambda t: t.good()[:30] + " " + t.good()[30:]
ATTACKS["a line break inside"] = lambda t: t.good()[:30] + "\n" + t.good()[30:]
ATTACKS["a NUL behind"] = lambda t: t.good() + "\0"
ATTACKS["letters that are not ASCII"] = lambda t: t.good()[:-1] + "é"
ATTACKS["characters of other base64"] = lambda t: (
    t.good().rpartition(".")[0] + ".+/+/" + t.good().rpartition(".")[2][4:]
)
ATTACKS["longer than 8 KB"] = lambda t: t.with_claims(jti="j" * 9000)
ATTACKS["as long as a book"] = lambda t: t.with_claims(jti="j" * 300_000)
NO_OBJECTS = (
    *(b"[]", b'"claims"', b"1", b"null", b"", b"{", b"\xff\xfe", b"{}{}", '{"iss":"x"}'.encode("utf-16")),
    *(b"[" * 3000 + b"]" * 3000, b'{"a":' * 1200 + b"1" + b"}" * 1200),
)
attacks("claims", NO_OBJECTS, lambda t, text: forge(t.header, text, t.sign))
attacks("a header", NO_OBJECTS, lambda t, text: forge(text, t.claims, t.sign))
