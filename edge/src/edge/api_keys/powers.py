"""What a key may do, and the rule that nobody gives what they have not got."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from edge.auth.caller import EVERYTHING, Caller, Grants
from edge.auth.scopes import OF_ROLE, Role, Scope
from edge.errors import ApiError, insufficient_scope
from edge.policy.grants import tools_within

_RANK: Final[Mapping[Role, int]] = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2}
_GRANTS: Final = ("agents", "models", "tools")


@dataclass(frozen=True, slots=True)
class Powers:
    """The most that a key may. Its user's role bounds it further, whenever it is used."""

    role: Role = Role.MEMBER
    scopes: frozenset[Scope] | None = None
    """None: all that the role has."""
    grants: Grants = EVERYTHING
    expires_at: datetime | None = None

    @property
    def effective_scopes(self) -> frozenset[Scope]:
        """Spelled out."""
        of_role = OF_ROLE[self.role]
        return of_role if self.scopes is None else of_role & self.scopes


def narrowed(powers: Powers, maker: Caller) -> Powers:
    """With the maker's own bounds in every place where no bound was asked for."""
    scopes, expires_at = powers.scopes, powers.expires_at
    if scopes is None and not powers.effective_scopes <= maker.scopes:
        scopes = powers.effective_scopes & maker.scopes
    if expires_at is None:
        expires_at = maker.expires_at
    grants = {
        name: getattr(maker.grants, name) if getattr(powers.grants, name) is None else getattr(powers.grants, name)
        for name in _GRANTS
    }
    return Powers(powers.role, scopes, Grants(**grants), expires_at)


def check_within(powers: Powers, maker: Caller) -> None:
    """Raises ApiError 403, which names what the maker has not got."""
    if _RANK[powers.role] > _RANK[maker.role]:
        raise _refused(f"the role `{powers.role}`", "role")
    if excess := sorted((powers.scopes or frozenset()) - OF_ROLE[powers.role]):
        raise ApiError(
            403,
            f"The role `{powers.role}` has not got the scope `{excess[0]}`.",
            type="permission_error",
            code="permission_denied",
            param="scopes",
        )
    if missing := sorted(powers.effective_scopes - maker.scopes):
        raise insufficient_scope(missing[0])
    for name in _GRANTS:
        own, wanted = getattr(maker.grants, name), getattr(powers.grants, name)
        if name == "tools":
            is_within = tools_within(powers.grants, maker.grants)
        else:
            is_within = own is None or (wanted is not None and wanted <= own)
        if not is_within:
            raise _refused(f"all of these {name}", name)
    if maker.expires_at is not None and (powers.expires_at is None or powers.expires_at > maker.expires_at):
        raise _refused(
            f"anything beyond {maker.expires_at:%Y-%m-%d %H:%M} UTC, when it ends itself,", "expires_in_seconds"
        )


def _refused(what: str, param: str) -> ApiError:
    return ApiError(
        403,
        f"A key may not have more than the credential that makes it, and this one has not got {what}.",
        type="permission_error",
        code="permission_denied",
        param=param,
    )
