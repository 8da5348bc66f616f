"""The chain of an audit log: what is hashed, and what does not fit."""

import hashlib
import json
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

GENESIS: Final = bytes(32)
"""What the first entry has in place of a hash before it."""

FINDINGS_LIMIT: Final = 20


@dataclass(frozen=True, slots=True)
class Anchor:
    """How long a chain was once, and the hash of its last entry then; kept where the log's owner cannot change it."""

    tenant: str
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination has found. `findings` are sentences, the first ones only; without any the chain is whole."""

    tenant: str
    entries: int
    last_hash: bytes
    findings: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not self.findings


def hash_of(row: Mapping[str, Any]) -> bytes:
    """The SHA-256 of an entry as it is now; the database's append_audit_entry makes the same bytes.

    They are canonical JSON (RFC 8785): names in alphabetical order, no blanks, times in UTC with microseconds.
    """
    at: datetime = row["at"]
    texts = {name: json.dumps(row[name], ensure_ascii=False) for name in _TEXTS}
    document = (
        f'{{"action":{texts["action"]},"actor":{texts["actor"]},"address":{texts["address"]}'
        f',"at":"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z","details":{row["details"]},"key_id":{texts["key_id"]}'
        f',"previous_hash":"{bytes(row["previous_hash"]).hex()}","request_id":{texts["request_id"]}'
        f',"seq":{row["seq"]},"target":{texts["target"]},"tenant":{texts["tenant_id"]}}}'
    )
    return hashlib.sha256(document.encode()).digest()


_TEXTS: Final = ("action", "actor", "address", "key_id", "request_id", "target", "tenant_id")


async def examine(
    tenant: str, rows: AsyncIterable[Mapping[str, Any]], head: Anchor | None, anchors: Sequence[Anchor] = ()
) -> Report:
    """Walks a chain from its first entry; `head` is what the database believes to be its last, None where it has none.

    Finds entries that were changed, taken out, put in, or put elsewhere. Entries taken from the end are found by
    `head`, and where that was changed with them by `anchors` from before.
    """
    findings: list[str] = []
    wanted = {anchor.seq: anchor.hash for anchor in anchors if anchor.tenant == tenant}
    expected, before, count = 1, GENESIS, 0
    async for row in rows:
        seq, own = int(row["seq"]), bytes(row["hash"])
        count += 1
        if seq != expected:
            findings.append(f"entry {expected} is missing: after {expected - 1} comes {seq}")
        elif bytes(row["previous_hash"]) != before:
            findings.append(f"entry {seq} does not follow the entry before it")
        if hash_of(row) != own:
            findings.append(f"entry {seq} has been changed")
        if wanted.pop(seq, own) != own:
            findings.append(f"entry {seq} is another than an anchor says")
        expected, before = seq + 1, own
        if len(findings) >= FINDINGS_LIMIT:
            return Report(tenant, count, before, (*findings, "more was not looked at"))
    findings.extend(f"entry {seq}, which an anchor names, is gone" for seq in sorted(wanted) if seq > 0)
    last = expected - 1
    if head is None and count:
        findings.append("the record of the chain's end is gone")
    elif head is not None and (head.seq, head.hash) != (last, before):
        findings.append(f"the chain ends with entry {last}, and should with {head.seq}")
    return Report(tenant, count, before, tuple(findings))
