"""Who a request speaks for, and what it may do."""

from dataclasses import dataclass
from datetime import datetime

from .scopes import Role, Scope


@dataclass(frozen=True, slots=True)
class Grants:
    """The agents, models and tools that may be used, by name. None: all there are."""

    agents: frozenset[str] | None = None
    models: frozenset[str] | None = None
    tools: frozenset[str] | None = None

    def has_model(self, name: str) -> bool:
        """Whether the model is granted; `:latest` may be left out in a grant."""
        return self.models is None or name in self.models or name.removesuffix(":latest") in self.models


EVERYTHING = Grants()


@dataclass(frozen=True, slots=True)
class Caller:
    """Made from a credential and nothing else. Without more said it may do nothing at the API: calls of our own."""

    tenant: str
    user: str
    key_id: str
    """Empty where the credential is not an API key."""
    role: Role = Role.VIEWER
    scopes: frozenset[Scope] = frozenset()
    """What the credential carries and the role has."""
    grants: Grants = EVERYTHING
    plan: str = "free"
    """The tenant's."""
    expires_at: datetime | None = None
    """When the credential itself ends, where it is an API key that does."""
    session_id: str = ""
    """Of the session whose access token it is; empty for other credentials."""


__all__ = ["EVERYTHING", "Caller", "Grants", "Role", "Scope"]
