"""What a credential may be used for: a short list of words, and what each role has of them.

A request may do what its credential carries and its user's role has. A thing that is not there, or that belongs to
somebody else, is 404 whatever the scopes; a scope that is missing is 403 before anything is looked up, so that neither
answer tells whether a thing exists.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a user is in their tenant."""

    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Scope(StrEnum):
    """`x:read` looks at things, `x` makes and changes them; neither holds the other. `x:all` is about everybody's."""

    MODELS_READ = "models:read"
    """See models and agents."""
    RUNS = "runs"
    """Start, cancel and resume runs, on every surface."""
    RUNS_READ = "runs:read"
    THREADS = "threads"
    THREADS_READ = "threads:read"
    ARTIFACTS = "artifacts"
    ARTIFACTS_READ = "artifacts:read"
    FILES = "files"
    FILES_READ = "files:read"
    SEARCH = "search"
    LIBRARY = "library"
    """Have everybody's files embedded anew."""
    EMBEDDINGS = "embeddings"
    TOOLS = "tools"
    """See tools and call them over MCP."""
    KEYS = "keys"
    """One's own API keys."""
    KEYS_ALL = "keys:all"
    USAGE = "usage"
    """What one has used oneself."""
    USAGE_ALL = "usage:all"
    BUDGETS = "budgets"
    """Everybody's; see and set them."""
    ACCOUNT = "account"
    """One's own password and sessions."""
    USERS = "users"
    AUDIT = "audit"


ALL: Final = frozenset(Scope)
_ADMINS_ONLY: Final = frozenset(
    {Scope.KEYS_ALL, Scope.USAGE_ALL, Scope.BUDGETS, Scope.USERS, Scope.AUDIT, Scope.LIBRARY}
)
_TO_LOOK: Final = frozenset(
    {
        *(Scope.MODELS_READ, Scope.RUNS_READ, Scope.THREADS_READ, Scope.ARTIFACTS_READ, Scope.FILES_READ),
        *(Scope.SEARCH, Scope.USAGE, Scope.ACCOUNT),
    }
)

OF_ROLE: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.ADMIN: ALL,
    Role.MEMBER: ALL - _ADMINS_ONLY,
    Role.VIEWER: _TO_LOOK,
}
"""The most that a user of a role can do, whatever their credential carries."""
