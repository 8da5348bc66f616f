"""The rules of each tenant, from its settings: believed for a minute, and for an hour while Postgres is away."""

import logging

from edge.auth.believed import Believed
from edge.database import Database

from .rules import NONE, Rules, RulesError, of_settings

_log = logging.getLogger(__name__)
# Rules that nobody can read must not mean none: nothing goes out, and the operator hears why.
_UNREADABLE = Rules.model_validate({"hosts": [], "tainted_runs": "strict"})


class TenantRules:
    """By the tenant's id."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._believed: Believed[str, Rules] = Believed()

    async def get(self, tenant: str) -> Rules:
        """The tenant's rules. Errors: DATABASE_UNAVAILABLE where they were never known."""
        return await self._believed.get(tenant, lambda: self._read(tenant)) or NONE

    def forget(self, tenant: str) -> None:
        """The next run reads them anew."""
        self._believed.forget(tenant)

    async def close(self) -> None:
        """Ends what is under way."""
        await self._believed.close()

    async def _read(self, tenant: str) -> Rules:
        async with self._database.tenant(tenant) as connection:
            row = await (await connection.execute("select settings from tenants where id = %s", (tenant,))).fetchone()
        if row is None:
            return NONE
        try:
            return of_settings(row["settings"], tenant)
        except RulesError as error:
            _log.error("a tenant's rules cannot be read", extra={"reason": str(error)})
            return _UNREADABLE
