"""Invitations: with one a user chooses a first password, or a new one; each works once and not for long."""

from datetime import timedelta
from typing import Final

from edge.auth.peppers import Peppers
from edge.database import Connection

from .secret_texts import SecretText, random_secret

KIND: Final = "dm_invite"
LIFETIME: Final = timedelta(days=3)


def parse(text: str) -> SecretText | None:
    """None: it cannot be an invitation."""
    return SecretText.parse(KIND, text)


async def invite(connection: Connection, tenant: str, user_id: str, peppers: Peppers) -> str:
    """An invitation for the user, shown once; an older one of theirs stops working."""
    text = SecretText(KIND, tenant, user_id, random_secret())
    await connection.execute(
        """insert into invitations (tenant_id, user_id, mac, expires_at) values (%s, %s, %s, clock_timestamp() + %s)
           on conflict (tenant_id, user_id) do update
           set mac = excluded.mac, expires_at = excluded.expires_at, created_at = clock_timestamp()""",
        (tenant, user_id, text.mac(peppers.present), LIFETIME),
    )
    return str(text)


async def is_open(connection: Connection, invitation: SecretText, peppers: Peppers) -> bool:
    """Whether `take` would find it now."""
    cursor = await connection.execute(
        "select 1 from invitations where user_id = %s and mac = any (%s) and expires_at > clock_timestamp()",
        (invitation.name, [invitation.mac(pepper) for pepper in peppers.values]),
    )
    return await cursor.fetchone() is not None


async def take(connection: Connection, invitation: SecretText, peppers: Peppers) -> str | None:
    """The id of the user it is for, who has it no more; None: unknown, used, expired, or the user is disabled.

    Two that come at once: one gets it.
    """
    cursor = await connection.execute(
        """delete from invitations i using users u
           where i.user_id = %s and i.mac = any (%s) and i.expires_at > clock_timestamp()
             and u.tenant_id = i.tenant_id and u.id = i.user_id and u.disabled_at is null
           returning i.user_id""",
        (invitation.name, [invitation.mac(pepper) for pepper in peppers.values]),
    )
    row = await cursor.fetchone()
    return row["user_id"] if row is not None else None
