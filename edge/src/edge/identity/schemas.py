"""Requests about people and sessions, and the shapes of their answers."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.auth.scopes import Role, Scope
from edge.content import Schema

from .passwords import MAX_LENGTH, MIN_LENGTH
from .users import EMAIL_LIMIT, EMAIL_PATTERN, email_of

TENANT_PATTERN: Final = r"^[A-Za-z0-9_.@-]{1,128}$"

Email = Annotated[
    str,
    Field(max_length=EMAIL_LIMIT, pattern=EMAIL_PATTERN, description="In any case."),
    AfterValidator(email_of),
]
NewPassword = Annotated[str, Field(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]
SecretText = Annotated[str, Field(min_length=1, max_length=400)]
DisplayName = Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$", description="For people.")]
AnyRole = Annotated[Role, Field(strict=False)]


class LoginRequest(Schema):
    tenant: str = Field("default", pattern=TENANT_PATTERN, description="Whose user it is.")
    email: Email
    password: str = Field(min_length=1, max_length=MAX_LENGTH)

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ann@example.org", "password": "…"}]})


class RefreshRequest(Schema):
    refresh_token: SecretText

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "dm_refresh_default:…"}]})


class LogoutRequest(Schema):
    refresh_token: SecretText
    everywhere: bool = Field(False, description="All of the user's sessions, not only this one.")

    model_config = ConfigDict(json_schema_extra={"examples": [{"refresh_token": "dm_refresh_default:…"}]})


class InvitationAnswer(Schema):
    """What an invited user answers with."""

    invitation: SecretText
    password: NewPassword

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"invitation": "dm_invite_default:…", "password": "correct horse battery"}]}
    )


class PasswordChange(Schema):
    current_password: str = Field(min_length=1, max_length=MAX_LENGTH)
    new_password: NewPassword

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"current_password": "…", "new_password": "correct horse battery"}]}
    )


class TokenPair(BaseModel):
    """What to go on with. The refresh token works once; its use brings the next."""

    access_token: str = Field(description="A JWT for `Authorization: Bearer …`.")
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds that the access token lives from now.")
    refresh_token: str


class UserObject(BaseModel):
    id: str
    object: Literal["user"]
    email: str
    name: str
    role: Role
    status: Literal["active", "invited", "disabled"]
    created_at: datetime
    updated_at: datetime


class Me(BaseModel):
    """Who a credential speaks for, and what it may be used for."""

    object: Literal["me"]
    tenant: str
    user_id: str
    role: Role
    scopes: list[Scope]
    plan: str
    credential: Literal["api_key", "session", "issuer"]
    key_id: str | None
    session_id: str | None
    user: UserObject | None = Field(description="Null: the user is not one of ours, but an issuer's or a key's own.")


class SessionObject(BaseModel):
    id: str
    object: Literal["session"]
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    current: bool = Field(description="Whether it is the one that asks.")


class SessionList(BaseModel):
    object: Literal["list"]
    data: list[SessionObject]


class UserRequest(Schema):
    """A user to be made. Without a password the answer holds an invitation to choose one."""

    email: Email
    name: DisplayName = ""
    role: AnyRole = Role.MEMBER
    password: NewPassword | None = None

    # A field that is misspelt would otherwise be a role that was not meant.
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"email": "ann@example.org", "name": "Ann", "role": "member"}]}
    )


class UserChanges(Schema):
    """Fields that are left out stay as they are."""

    name: DisplayName | None = None
    role: AnyRole | None = None
    disabled: bool | None = Field(None, description="A disabled user cannot log in, and is logged out everywhere.")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "viewer"}]})


class UserWithInvitation(UserObject):
    invitation: str | None = Field(description="For `POST /auth/accept`, within three days. Null: there is a password.")


class Invitation(BaseModel):
    object: Literal["invitation"]
    user_id: str
    invitation: str = Field(description="For `POST /auth/accept`, within three days. It is shown this once.")


class UserList(BaseModel):
    object: Literal["list"]
    data: list[UserObject]
    has_more: bool
    last_id: str | None = Field(description="For `after`, to read on.")


class KeySetDocument(BaseModel):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, str]]


MODELS: Final = (
    *(LoginRequest, RefreshRequest, LogoutRequest, InvitationAnswer, PasswordChange),
    *(TokenPair, UserObject, Me, SessionObject, SessionList),
    *(UserRequest, UserChanges, UserWithInvitation, Invitation, UserList, KeySetDocument),
)

USER_EXAMPLE: Final[dict[str, Any]] = {
    "id": "user_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "user",
    "email": "ann@example.org",
    "name": "Ann",
    "role": "member",
    "status": "active",
    "created_at": "2026-11-20T09:34:55.595Z",
    "updated_at": "2026-11-20T09:34:55.595Z",
}
TOKENS_EXAMPLE: Final[dict[str, Any]] = {
    "access_token": "eyJhbGciOiJFZERTQSIs…",
    "token_type": "Bearer",
    "expires_in": 600,
    "refresh_token": "dm_refresh_default:sess_8dYh2mPz0ZcA5kQw1nRtXvBg.0:…",
}
ME_EXAMPLE: Final[dict[str, Any]] = {
    "object": "me",
    "tenant": "default",
    "user_id": USER_EXAMPLE["id"],
    "role": "member",
    "scopes": ["models:read", "runs"],
    "plan": "free",
    "credential": "session",
    "key_id": None,
    "session_id": "sess_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "user": USER_EXAMPLE,
}
SESSION_EXAMPLE: Final[dict[str, Any]] = {
    "id": "sess_8dYh2mPz0ZcA5kQw1nRtXvBg",
    "object": "session",
    "created_at": "2026-11-20T09:34:55.595Z",
    "refreshed_at": "2026-11-20T09:34:55.595Z",
    "expires_at": "2026-12-20T09:34:55.595Z",
    "current": True,
}
