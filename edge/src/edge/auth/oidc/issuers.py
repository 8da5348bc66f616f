"""The operator's file of issuers: whom to believe, and what their claims mean here."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.auth.scopes import Role

# None that shares a secret.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
SIZE_LIMIT: Final = 1 << 20


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
        return url
    raise ValueError("wants an https:// address (http:// only on this machine itself)")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


WebAddress = Annotated[str, AfterValidator(_web_address)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
TenantId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,128}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TenantRule(_Part):
    """Which tenant a token is of: always `value`, or what a claim says, translated by `map` where there is one."""

    value: TenantId | None = None
    claim: str | None = None
    map: Mapping[str, TenantId] | None = None
    """With it a value that it does not hold is no tenant."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.value is None) == (self.claim is None):
            raise ValueError("wants either `value` or `claim`")
        if self.map is not None and self.claim is None:
            raise ValueError("`map` translates what a `claim` says")
        return self


class RoleRule(_Part):
    """Which role: the highest that the claim's texts stand for, otherwise `default`; without one nobody gets in."""

    claim: str | None = None
    map: Mapping[str, Role] = {}
    default: Role | None = None

    @model_validator(mode="after")
    def _some_source(self) -> Self:
        if self.claim is None and self.default is None:
            raise ValueError("wants `default`, or `claim` and `map`")
        if (self.claim is None) != (not self.map):
            raise ValueError("`claim` and `map` belong together")
        return self


class Issuer(_Part):
    """One that is believed."""

    name: Name
    """Stands before the ids of its users: `corp:248289761001`."""
    issuer: WebAddress
    """As its tokens say in `iss`, to the letter."""
    audience: Annotated[str, Field(min_length=1)]
    others_in_audience: bool = False
    """Tokens for several audiences are good too, if ours is among them."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)]
    jwks_uri: WebAddress | None = None
    """Where its keys are; None: its discovery document says."""
    types: tuple[str, ...] = ("JWT", "at+jwt", "")
    """What `typ` may say; "": it may be absent."""
    tenant: TenantRule
    user: Annotated[str, Field(min_length=1)] = "sub"
    """The claim that names the user."""
    role: RoleRule
    unknown_tenant: Literal["refuse", "create"] = "refuse"
    max_lifetime_s: Annotated[int, Field(ge=60, le=7 * 86400)] = 86400
    """A token that was made for longer is refused."""


class OidcFile(_Part):
    """The whole file."""

    issuers: tuple[Issuer, ...]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what in ("name", "issuer"):
            values = [getattr(issuer, what) for issuer in self.issuers]
            if len(set(values)) != len(values):
                raise ValueError(f"two issuers have the same `{what}`")
        return self


def load_issuers(path: Path) -> tuple[Issuer, ...]:
    """Reads YAML or JSON. Raises ValueError with the file, the place and what it wants."""
    import yaml  # only an edge that has such a file loads it

    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > SIZE_LIMIT:
            raise ValueError(f"{path} is longer than 1 MiB")
        document: Any = yaml.safe_load(text)
        return OidcFile.model_validate(document).issuers
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {place or 'the whole'}: {message}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML or JSON: {error}") from None
