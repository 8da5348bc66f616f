"""The audit log: who did what to identities, keys, permissions, documents and the platform; append-only and chained.

    await services.audit.note(caller, "file.deleted", file_id)             # on its own
    await append(connection, Entry(tenant, actor, "key.revoked", key_id))   # in the transaction of what it tells of

Names of actions are `thing.done`: auth.*, user.*, key.*, permission.*, tenant.*, file.*, budget.*, service_key.*.
Actors and targets are ids, details are small facts: never a secret, a password, a token, an e-mail address.
"""

from .entry import Entry, append
from .log import AuditLog

__all__ = ["AuditLog", "Entry", "append"]
