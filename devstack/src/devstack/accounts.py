"""The user that Postgres runs as: it refuses root, and initdb wants a uid that has a name."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

# In order of preference. No account is ever made.
NAMES = ("postgres", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int


def server_account(folder: Path) -> Account | None:
    """The unprivileged account for a server that refuses root. None: we are not root, so it runs as we do.

    Where `folder`, or the nearest folder above it that is not root's, belongs to somebody with a name, it is that one:
    who tried it as an ordinary user first, or works with sudo in a checkout of their own, can go on either way.
    """
    if os.geteuid() != 0:
        return None
    for place in (folder, *folder.parents):
        if place.exists() and (uid := place.stat().st_uid) != 0:
            try:
                entry = pwd.getpwuid(uid)
            except KeyError:
                break
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise DevstackError(
        "Postgres does not run as root, and none of the accounts " + ", ".join(NAMES) + " exists here."
        " Run as an ordinary user, or point DORMOUSE_POSTGRES_URL at a server."
    )


def can_read(account: Account, path: Path) -> bool:
    """Whether the account can open `path` (or enter it, for a folder), judged by the modes of it and of its parents."""
    path = path.resolve()
    return all(_allows(account, parent, stat.S_IXOTH) for parent in path.parents) and _allows(
        account, path, (stat.S_IROTH | stat.S_IXOTH) if path.is_dir() else stat.S_IROTH
    )


def _allows(account: Account, path: Path, other_bits: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        wanted = other_bits << 6
    elif status.st_gid == account.gid:
        wanted = other_bits << 3
    else:
        wanted = other_bits
    return status.st_mode & wanted == wanted
