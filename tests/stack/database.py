"""A migrated Postgres, and the tenants in it."""

import asyncio
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import psycopg
from devstack.credentials import Credentials, make_api_key
from devstack.postgres import APPLICATION, OWNER, Postgres, clear_after_crash
from devstack.process import Process
from devstack.services import migrations_program


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with one user and one API key."""

    id: str
    user: str
    api_key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}


class Database:
    """One Postgres cluster with the schema. A test may stop, kill and resume those that it started itself."""

    def __init__(self, folder: Path, credentials: Credentials, logs: Path) -> None:
        self._credentials = credentials
        self._migrations_log = logs / f"{folder.name}-migrations.log"
        self.files = folder.with_name(f"{folder.name}-files")
        """Where every edge on this database keeps its files."""
        self.server = Postgres(folder, credentials.postgres, log=logs / f"{folder.name}.log", durable=False)

    @property
    def url(self) -> str:
        """For the services: the application role."""
        return self.server.url(APPLICATION)

    @property
    def owner_url(self) -> str:
        return self.server.url(OWNER)

    async def start(self) -> None:
        """Make, start and migrate it."""
        await self.server.start()
        await self.migrate()

    async def migrate(self) -> list[str]:
        """Run `python -m migrations` and return what it printed."""
        program = migrations_program(
            os.environ,
            postgres_url=self.owner_url,
            bootstrap_key=self._credentials.api_key_file,
            pepper=self._credentials.pepper,
            application_role=APPLICATION,
        )
        process = Process("migrations", program.argv, env=program.env, log=self._migrations_log)
        await process.start()
        code = await process.wait()
        await asyncio.to_thread(process.log.join)
        lines = list(process.log.tail)
        assert code == 0, "\n".join(lines)
        return lines

    async def stop(self) -> None:
        """Shut it down; its address stays."""
        await self.server.stop()

    async def kill(self) -> None:
        """SIGKILL the postmaster."""
        await self.server.process.kill()

    async def resume(self) -> None:
        """Start it again after stop or kill, at the same address."""
        await self.server.resume()

    async def end(self) -> None:
        """Leave nothing behind, not even shared memory."""
        await self.server.stop(timeout=3)
        await clear_after_crash(self.server.folder)

    async def tenant(self, name: str = "Test", *, plan: str = "unlimited") -> Tenant:
        """Add a tenant with a random id and an API key."""
        tenant_id = f"t-{secrets.token_hex(8)}"
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant_id])
            row = [tenant_id, name, plan]
            await connection.execute("insert into tenants (id, name, plan) values (%s, %s, %s)", row)
        (tenant,) = await self.keys(tenant_id, f"u-{secrets.token_hex(4)}", 1)
        return tenant

    async def keys(self, tenant_id: str, user: str, count: int) -> list[Tenant]:
        """Add API keys for a user of a tenant, who need not be there."""
        tenants = [Tenant(tenant_id, user, make_api_key()) for _ in range(count)]
        pepper = self._credentials.pepper.read_bytes().split()[0]
        async with await psycopg.AsyncConnection.connect(self.owner_url) as connection:
            await connection.execute("select set_config('dormouse.tenant', %s, true)", [tenant_id])
            for tenant in tenants:
                mac = hmac.digest(pepper, tenant.api_key.encode(), hashlib.sha256)
                await connection.execute(
                    "insert into api_keys (id, tenant_id, user_id, name, prefix, mac, role)"
                    " values (%s, %s, %s, 'test', %s, %s, 'admin')",
                    [f"key_{secrets.token_hex(12)}", tenant_id, user, tenant.api_key[:16], mac],
                )
        return tenants
