"""Requests about API keys, and the shapes of their answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge.auth.scopes import Role, Scope
from edge.content import Schema, whole

MOST_OVERLAP_S: Final = 30 * 24 * 3600
MOST_LIFETIME_S: Final = 10 * 366 * 24 * 3600

# Postgres keeps no U+0000.
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Granted = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Grant = Annotated[list[Granted], Field(max_length=200)]
Scopes = Annotated[list[Scope], Field(max_length=len(Scope), strict=False)]
Lifetime = Annotated[int, Field(ge=1, le=MOST_LIFETIME_S), BeforeValidator(whole)]
Overlap = Annotated[int, Field(ge=0, le=MOST_OVERLAP_S), BeforeValidator(whole)]


class KeyChanges(Schema):
    """Fields that are left out stay as they are."""

    # A field that is misspelt would otherwise leave a key without the bound that was meant.
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": [{"tools": ["calculator"]}]}
    )

    name: Name | None = Field(None, description="For people.")
    role: Annotated[Role, Field(strict=False)] | None = Field(
        None, description="The most it may be; its user's own role bounds it too."
    )
    scopes: Scopes | None = Field(None, description="What it may be used for. Null: all that the role may.")
    agents: Grant | None = Field(None, description="Agents that runs may use. Null: all.")
    models: Grant | None = Field(None, description="Models that runs may use. Null: all.")
    tools: Grant | None = Field(None, description="Tools that runs may use. Null: all; an empty list: none.")
    expires_in_seconds: Lifetime | None = Field(None, description="From now on, how long it works. Null: for good.")


class KeyRequest(KeyChanges):
    """A key to be made. Bounds that are left out are those of the credential that makes it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Nightly reports", "scopes": ["runs"]}]})

    name: Name = Field(description="For people.")
    user: str | None = Field(
        None, max_length=100, description="Whose key it is to be; others than oneself need the scope `keys:all`."
    )


class KeyRotation(Schema):
    """How a secret is replaced."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": [{"overlap_seconds": 3600}]}
    )

    overlap_seconds: Overlap = Field(24 * 3600, description="How long the secret from before goes on working.")


class KeyObject(BaseModel):
    """An API key, without its secret."""

    id: str
    object: Literal["key"]
    name: str
    prefix: str = Field(description="How its secret begins.")
    user: str
    role: Role
    scopes: list[Scope] | None
    agents: list[str] | None
    models: list[str] | None
    tools: list[str] | None
    created_at: datetime
    created_by: str = Field(description="The user who made it. Empty: an operator.")
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To about a minute. Null: never.")
    rotated_at: datetime | None
    previous_valid_until: datetime | None = Field(description="So long the secret from before the rotation works too.")


class KeyWithSecret(KeyObject):
    """An API key and its secret, which is shown this once."""

    key: str = Field(description="What goes into `Authorization: Bearer …`. It cannot be shown again.")


class KeyList(BaseModel):
    object: Literal["list"]
    data: list[KeyObject]
    has_more: bool
    last_id: str | None = Field(description="For `after`, to read on.")


class KeyDeleted(BaseModel):
    id: str
    object: Literal["key.deleted"]
    deleted: Literal[True]


MODELS: Final = (KeyChanges, KeyRequest, KeyRotation, KeyObject, KeyWithSecret, KeyList, KeyDeleted)

EXAMPLE: Final[dict[str, Any]] = {
    "id": "key_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "key",
    "name": "Nightly reports",
    "prefix": "dm_live_8Jq2Ww0x",
    "user": "user_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "role": "member",
    "scopes": ["models:read", "runs"],
    "agents": ["react"],
    "models": None,
    "tools": ["calculator"],
    "created_at": "2026-11-20T09:34:55.595Z",
    "created_by": "user_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "expires_at": "2027-11-20T00:00:00.000Z",
    "last_used_at": None,
    "rotated_at": None,
    "previous_valid_until": None,
}
SECRET_EXAMPLE: Final[dict[str, Any]] = {**EXAMPLE, "key": "dm_live_8Jq2Ww0x…"}
LIST_EXAMPLE: Final[dict[str, Any]] = {
    "object": "list",
    "data": [EXAMPLE],
    "has_more": False,
    "last_id": EXAMPLE["id"],
}
