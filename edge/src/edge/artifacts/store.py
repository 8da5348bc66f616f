"""Artifacts in Postgres, their contents cached in Redis."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dormouse.agent.v1 import agent_pb2
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError

from edge.database import Connection, Database
from edge.ids import is_artifact_id
from edge.redis_link import make_client

from .cache import ArtifactCache
from .model import Artifact, ArtifactPage, ArtifactVersion, VersionPage

_ABOUT = """v.artifact_id, v.version, a.thread_id, v.title, v.media_type, octet_length(v.content) as size_bytes,
    v.run_id, v.restored_from, v.created_at, a.version as latest, v.revision"""
_LATEST = "artifacts a join artifact_versions v on v.artifact_id = a.id and v.version = a.version"


@asynccontextmanager
async def open_artifacts(database: Database, redis_url: str) -> AsyncIterator["ArtifactStore"]:
    """The store, with a connection to Redis of its own."""
    redis = make_client(redis_url, max_connections=4)
    try:
        yield ArtifactStore(database, ArtifactCache(redis))
    finally:
        await redis.aclose()


class ArtifactStore:
    """Every method sees one tenant's artifacts only and raises DATABASE_UNAVAILABLE when Postgres does not answer.

    Postgres says what there is, in a row of a few bytes; only the contents, which can be long, come from the cache. So
    a new version is seen everywhere at once. Another tenant's artifact is as unknown as one that never was:
    ARTIFACT_NOT_FOUND.
    """

    def __init__(self, database: Database, cache: ArtifactCache) -> None:
        self._database = database
        self._cache = cache

    async def page(
        self, tenant: str, *, limit: int, after: str | None = None, thread_id: str | None = None
    ) -> ArtifactPage:
        """Artifacts in their latest versions, behind the artifact `after`; none when there is no such artifact."""
        if after is not None and not is_artifact_id(after):
            return ArtifactPage((), has_more=False)
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                f"""select {_ABOUT} from {_LATEST}
                    where (%(after)s::text is null
                           or (a.created_at, a.id) < (select created_at, id from artifacts where id = %(after)s))
                      and (%(thread)s::text is null or a.thread_id = %(thread)s)
                    order by a.created_at desc, a.id desc limit %(limit)s""",  # noqa: S608 - constants
                {"after": after, "thread": thread_id, "limit": limit + 1},
            )
            rows = await cursor.fetchall()
        return ArtifactPage([_about(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def get(self, tenant: str, artifact_id: str, version: int | None = None) -> Artifact:
        """The artifact in a version, or in the latest. Errors: ARTIFACT_NOT_FOUND."""
        async with self._database.tenant(tenant) as connection:
            row = await self._find(connection, artifact_id, version)
        key = f"dm:artifact:{tenant}:{artifact_id}:{row['version']}:{row['revision']}"
        content = await self._cache.get(key)
        if content is None:
            async with self._database.tenant(tenant) as connection:
                cursor = await connection.execute(
                    "select content from artifact_versions where artifact_id = %s and version = %s and revision = %s",
                    (artifact_id, row["version"], row["revision"]),
                )
                found = await cursor.fetchone()
            if found is None:  # undone a moment ago
                raise _not_found(artifact_id, version)
            content = str(found["content"])
            await self._cache.put(key, content)
        return Artifact(_about(row), content)

    async def versions(
        self, tenant: str, artifact_id: str, *, limit: int = 100, before: int | None = None
    ) -> VersionPage:
        """An artifact's versions, older than `before`. Errors: ARTIFACT_NOT_FOUND."""
        async with self._database.tenant(tenant) as connection:
            await self._find(connection, artifact_id, None)
            cursor = await connection.execute(
                f"""select {_ABOUT} from artifacts a join artifact_versions v on v.artifact_id = a.id
                    where a.id = %(id)s and (%(before)s::integer is null or v.version < %(before)s)
                    order by v.version desc limit %(limit)s""",  # noqa: S608 - constants
                {"id": artifact_id, "before": before, "limit": limit + 1},
            )
            rows = await cursor.fetchall()
        return VersionPage([_about(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def restore(self, tenant: str, artifact_id: str, version: int) -> Artifact:
        """Makes a new version with what an older one holds. Where the latest holds just that, it stays the latest.

        Errors: ARTIFACT_NOT_FOUND, also for the version; CONFLICT while a run holds the artifact's thread, or the run
        that writes it goes on.
        """
        async with self._database.tenant(tenant) as connection:
            old = await self._find(connection, artifact_id, version)
            await self._require_rest(connection, old)
            await connection.execute(
                """with latest as (
                       select a.id, a.version, v.title, v.media_type, v.content
                       from artifacts a join artifact_versions v on v.artifact_id = a.id and v.version = a.version
                       where a.id = %(id)s for update of a
                   ), made as (
                       insert into artifact_versions
                           (artifact_id, version, tenant_id, title, media_type, content, restored_from)
                       select v.artifact_id, latest.version + 1, v.tenant_id, v.title, v.media_type, v.content,
                           v.version
                       from artifact_versions v join latest on latest.id = v.artifact_id
                       where v.version = %(version)s
                         and (v.title, v.media_type, v.content)
                             is distinct from (latest.title, latest.media_type, latest.content)
                       returning version
                   )
                   update artifacts set version = made.version, updated_at = now() from made where id = %(id)s""",
                {"id": artifact_id, "version": version},
            )
        return await self.get(tenant, artifact_id)

    async def load(self, tenant: str, pins: Sequence[agent_pb2.Artifact]) -> list[agent_pb2.Artifact]:
        """The given versions with their contents, in order; what is not there any more is left out."""
        async with self._database.tenant(tenant) as connection:
            cursor = await connection.execute(
                """select v.artifact_id, v.version, v.title, v.media_type, v.content
                   from unnest(%s::text[], %s::integer[]) with ordinality as wanted (id, version, place)
                   join artifact_versions v on v.artifact_id = wanted.id and v.version = wanted.version
                   order by place""",
                ([pin.id for pin in pins], [pin.version for pin in pins]),
            )
            return [
                agent_pb2.Artifact(
                    id=row["artifact_id"],
                    version=row["version"],
                    title=row["title"],
                    media_type=row["media_type"],
                    content=row["content"],
                )
                for row in await cursor.fetchall()
            ]

    async def save(
        self, tenant: str, artifact: agent_pb2.Artifact, *, run_id: str, epoch: int, thread_id: str | None
    ) -> bool:
        """Keeps a version that a stored run has written; the same one again takes the place of the first.

        False, and nothing is kept: a later owner executes the run. Errors: CONFLICT where the number is another run's,
        or does not follow the latest.
        """
        async with self._database.tenant(tenant) as connection:
            # Whoever takes the run over waits for this, and this for them.
            owner = await connection.execute(
                "select 1 from runs where id = %s and epoch <= %s for share", (run_id, epoch)
            )
            if await owner.fetchone() is None:
                return False
            await connection.execute(
                """insert into artifacts (id, tenant_id, thread_id, version) values (%s, %s, %s, 0)
                   on conflict (id) do nothing""",
                (artifact.id, tenant, thread_id),
            )
            cursor = await connection.execute(
                """insert into artifact_versions (artifact_id, version, tenant_id, title, media_type, content, run_id)
                   select id, %(version)s, tenant_id, %(title)s, %(media_type)s, %(content)s, %(run)s
                   from artifacts where id = %(id)s and version >= %(version)s - 1 for update
                   on conflict (artifact_id, version) do update
                       set title = excluded.title, media_type = excluded.media_type, content = excluded.content,
                           revision = default, created_at = now()
                       where artifact_versions.run_id = excluded.run_id""",
                {
                    "id": artifact.id,
                    "version": artifact.version,
                    "title": artifact.title,
                    "media_type": artifact.media_type,
                    "content": artifact.content,
                    "run": run_id,
                },
            )
            if cursor.rowcount != 1:
                raise DormouseError(
                    ErrorReason.ERROR_REASON_CONFLICT,
                    f"Version {artifact.version} of artifact {artifact.id} is not this run's to write.",
                )
            await connection.execute(
                "update artifacts set version = greatest(version, %s), updated_at = now() where id = %s",
                (artifact.version, artifact.id),
            )
        return True

    async def _find(self, connection: Connection, artifact_id: str, version: int | None) -> dict[str, Any]:
        row = None
        if is_artifact_id(artifact_id):
            cursor = await connection.execute(
                f"""select {_ABOUT} from artifacts a
                    join artifact_versions v on v.artifact_id = a.id and v.version = coalesce(%s, a.version)
                    where a.id = %s""",  # noqa: S608 - a constant
                (version, artifact_id),
            )
            row = await cursor.fetchone()
        if row is None:
            raise _not_found(artifact_id, version)
        return row

    async def _require_rest(self, connection: Connection, old: Mapping[str, Any]) -> None:
        """Raises CONFLICT while a run may write the artifact. The thread stays locked until the transaction ends."""
        if old["thread_id"] is not None:
            await connection.execute("select from threads where id = %s for no key update", (old["thread_id"],))
        cursor = await connection.execute(
            """select id from runs where status in ('queued', 'running', 'interrupted')
                 and (thread_id = %(thread)s
                      or id in (select run_id from artifact_versions where artifact_id = %(id)s)) limit 1""",
            {"thread": old["thread_id"], "id": old["artifact_id"]},
        )
        if busy := await cursor.fetchone():
            raise DormouseError(
                ErrorReason.ERROR_REASON_CONFLICT,
                f"Run {busy['id']} may write this artifact. Wait for it or cancel it.",
                details={"run_id": busy["id"]},
            )


def _about(row: Mapping[str, Any]) -> ArtifactVersion:
    return ArtifactVersion(**{name: row[name] for name in ArtifactVersion.__dataclass_fields__})


def _not_found(artifact_id: str, version: int | None) -> DormouseError:
    shown = artifact_id if is_artifact_id(artifact_id) else "with this id"
    message = f"There is no artifact {shown}." if version is None else f"Artifact {shown} has no version {version}."
    return DormouseError(ErrorReason.ERROR_REASON_ARTIFACT_NOT_FOUND, message)
