"""Which versions of a thread's artifacts a run starts from."""

from dormouse.agent.v1.agent_pb2 import Artifact

from edge.database import Connection

MOST = 50
TOTAL_LIMIT_BYTES = 4 * 1024 * 1024
"""All contents together; what was written last comes first."""


async def pin(connection: Connection, thread_id: str) -> list[Artifact]:
    """The latest versions on a thread, as ids and numbers without contents; the ones written last come first."""
    cursor = await connection.execute(
        """select id, version from (
               select a.id, a.version, a.updated_at, sum(octet_length(v.content)) over (
                   order by a.updated_at desc, a.id) as bytes
               from artifacts a join artifact_versions v on v.artifact_id = a.id and v.version = a.version
               where a.thread_id = %s
           ) as latest where bytes <= %s order by updated_at desc, id limit %s""",
        (thread_id, TOTAL_LIMIT_BYTES, MOST),
    )
    return [Artifact(id=row["id"], version=row["version"]) for row in await cursor.fetchall()]


async def undo(connection: Connection, run_id: str) -> None:
    """Drops the versions that a run has written, as if it had never been."""
    await connection.execute(
        """with dropped as (
               delete from artifact_versions where run_id = %(run)s returning artifact_id
           ), left_over as (
               select v.artifact_id, max(v.version) as version from artifact_versions v
               where v.artifact_id in (select artifact_id from dropped) and v.run_id is distinct from %(run)s
               group by v.artifact_id
           ), shortened as (
               update artifacts a set version = left_over.version, updated_at = now()
               from left_over where a.id = left_over.artifact_id
           )
           delete from artifacts where id in (
               select artifact_id from dropped except select artifact_id from left_over)""",
        {"run": run_id},
    )
