"""How a run lies in Redis: the commands that write it, and the reading of what they wrote.

An entry's id is `<epoch>-<seq of its last event>`. Redis refuses an id that is not above the last one, so the marker
`<epoch>-0` that a new owner writes first shuts out every owner before it, without a lock and at no cost per append.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from dormouse.agent.v1.agent_service_pb2 import ExecuteRequest
from dormouse.agent.v1.run_event_pb2 import RunInterrupted, RunLogEntry

from edge.redis_link import Command, Fields, StreamEntry
from edge.spending.outbox import keep_commands

from . import keys
from .live_run import Entry, LiveRun
from .model import OnDisconnect, RunError, RunRecord, RunStatus, Usage
from .ownership import Ownership

LIVE_TTL_S = 24 * 3600
"""How long a log may stay when nobody finishes it: a net under every replica dying at once."""

ENTRY_FIELD = b"e"
FENCE_FIELD = b"fence"

# Writes a log anew, unless a later epoch owns the run; answers 0 when one does.
# KEYS: log, meta. ARGV: epoch, then pairs of id and entry.
REWRITE = """
local epoch = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
if epoch > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[i], 'e', ARGV[i + 1]) end
return 1
"""

# Takes the place of all that earlier owners have left of a run, unless a later epoch owns it; answers 0 when one does.
# KEYS: log, meta. ARGV: epoch, ttl, number of fields and values, those, then pairs of id and entry.
REPLACE = """
local epoch = tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0')
if epoch > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
local last = 3 + tonumber(ARGV[3])
redis.call('HSET', KEYS[2], unpack(ARGV, 4, last))
for i = last + 1, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[i], 'e', ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
"""

# Forgets a run that waits for answers no more.
# KEYS: log, meta.
FORGET = """
if redis.call('HGET', KEYS[2], 'status') ~= 'interrupted' then return 0 end
return redis.call('DEL', KEYS[1], KEYS[2])
"""

# Writes down how a run ended, unless it has another owner by now, or the same one with a later epoch.
# KEYS: log, meta. ARGV: owner, epoch, ttl, then pairs of field and value.
SETTLE = """
local meta = redis.call('HMGET', KEYS[2], 'owner', 'epoch')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
"""

# Takes a run from an owner that is gone; answers the new epoch, 0 when the run is not that owner's or has ended.
# KEYS: log, meta. ARGV: old owner, new owner, ttl.
TAKE_OVER = """
local meta = redis.call('HMGET', KEYS[2], 'owner', 'status', 'epoch')
if meta[1] ~= ARGV[1] or (meta[2] ~= 'queued' and meta[2] ~= 'running') then return 0 end
local epoch = tonumber(meta[3]) + 1
redis.call('HSET', KEYS[2], 'owner', ARGV[2], 'epoch', epoch)
redis.call('XADD', KEYS[1], epoch .. '-0', 'fence', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return epoch
"""


def own_commands(run: LiveRun, replica_id: str) -> list[Command]:
    """Writes down that this replica owns the run, and what another needs to take it over."""
    meta = keys.meta(run.id)
    return [
        ("HSET", meta, *_own_fields(run, replica_id)),
        ("EXPIRE", meta, LIVE_TTL_S),
        note_command(run, replica_id),
    ]


def note_command(run: LiveRun, replica_id: str) -> Command:
    """Puts the run among those that others take over when this replica is gone."""
    return ("SADD", keys.runs_of(replica_id), run.id)


def replace_command(run: LiveRun, replica_id: str) -> Command:
    """Writes the whole log and all that goes with it in place of what earlier owners have left; answers 0 or 1."""
    fields = _own_fields(run, replica_id)
    start = (run.ownership.epoch, LIVE_TTL_S, len(fields), *fields)
    return ("EVAL", REPLACE, 2, keys.log(run.id), keys.meta(run.id), *start, *_pairs(run))


def append_command(run: LiveRun, entry: Entry) -> Command:
    """Appends an entry; the answer is nil where the log is gone, an error where another owner has fenced it."""
    entry_id = f"{run.ownership.epoch}-{entry.last_seq}"
    if entry is run.entries[0]:
        return ("XADD", keys.log(run.id), entry_id, ENTRY_FIELD, entry.data)
    return ("XADD", keys.log(run.id), "NOMKSTREAM", entry_id, ENTRY_FIELD, entry.data)


def expire_command(run: LiveRun) -> Command:
    """Lets the log of a run that nobody finishes go in the end."""
    return ("EXPIRE", keys.log(run.id), LIVE_TTL_S)


def state_commands(run: LiveRun) -> list[Command]:
    """Notes what has changed beside the log: whether the run waits, and from where a new attempt would go on."""
    fields: list[str | int] = ["checkpoint", run.checkpoint_seq, "started_ms", _to_ms(run.started_at)]
    if run.base_checkpoint is not None:
        fields += ("base_checkpoint", run.base_checkpoint)
    if run.status.is_active:
        fields += ("status", run.status)
    return [("HSET", keys.meta(run.id), *fields)]


def rewrite_command(run: LiveRun) -> Command:
    """Writes the whole log anew under the present epoch."""
    return ("EVAL", REWRITE, 2, keys.log(run.id), keys.meta(run.id), run.ownership.epoch, *_pairs(run))


def settle_commands(run: LiveRun, replica_id: str, ttl_s: int) -> list[Command]:
    """Writes down how the run ended; log and record expire `ttl_s` later. Harmless where another owner came first."""
    usage = run.usage
    fields: list[str | bytes | int] = [
        "status", run.status, "finished_ms", _to_ms(run.finished_at), "finish_reason", run.finish_reason or "",
        "prompt_tokens", usage.prompt_tokens, "completion_tokens", usage.completion_tokens,
        "reasoning_tokens", usage.reasoning_tokens, "request", _named(run.ownership.request),
    ]  # fmt: skip
    if run.interrupts:
        fields += ("interrupts", RunInterrupted(interrupts=run.interrupts).SerializeToString())
    if run.error is not None:
        fields += ("error_reason", run.error.reason, "error_message", run.error.message)
        fields += ("error_retryable", int(run.error.retryable))
    thread_id = run.ownership.thread_id
    who = (replica_id, run.ownership.epoch)
    return [
        *keep_commands(run.charge),
        ("EVAL", SETTLE, 2, keys.log(run.id), keys.meta(run.id), *who, ttl_s, *fields),
        ("SREM", keys.runs_of(replica_id), run.id),
        *([("PUBLISH", keys.THREADS_CHANNEL, thread_id)] if thread_id else []),
    ]


def read_ownership(run_id: str, meta: Fields, epoch: int) -> Ownership:
    """The ownership of a run that this replica has taken over."""
    return Ownership(
        run_id=run_id,
        tenant=meta[b"tenant"].decode(),
        user=meta[b"user"].decode(),
        epoch=epoch,
        request=ExecuteRequest.FromString(meta[b"request"]),
        on_disconnect=OnDisconnect(meta[b"on_disconnect"].decode()),
        may_replace=meta[b"may_replace"] == b"1",
        stored=meta[b"stored"] == b"1",
        request_id=meta[b"request_id"].decode(),
        created_at=_from_ms(meta[b"created_ms"]) or datetime.now(UTC),
        key_id=meta.get(b"key_id", b"").decode(),
        prompt_estimate=int(meta.get(b"prompt_estimate", 0)),
    )


def read_record(run_id: str, meta: Fields) -> RunRecord:
    """The run as it stands in Redis."""
    request = ExecuteRequest.FromString(meta[b"request"])
    error = None
    if b"error_reason" in meta:
        error = RunError(int(meta[b"error_reason"]), meta[b"error_message"].decode(), meta[b"error_retryable"] == b"1")
    return RunRecord(
        id=run_id,
        tenant=meta[b"tenant"].decode(),
        agent_id=request.agent_id,
        model=request.model,
        status=RunStatus(meta[b"status"].decode()),
        created_at=_from_ms(meta[b"created_ms"]) or datetime.now(UTC),
        thread_id=request.thread.thread_id or None,
        started_at=_from_ms(meta.get(b"started_ms", b"0")),
        finished_at=_from_ms(meta.get(b"finished_ms", b"0")),
        finish_reason=meta.get(b"finish_reason", b"").decode() or None,
        error=error,
        usage=Usage(
            int(meta.get(b"prompt_tokens", 0)),
            int(meta.get(b"completion_tokens", 0)),
            int(meta.get(b"reasoning_tokens", 0)),
        ),
        interrupts=RunInterrupted.FromString(meta.get(b"interrupts", b"")).interrupts,
    )


def read_live_run(run_id: str, meta: Fields, epoch: int, stream: Sequence[StreamEntry]) -> LiveRun:
    """A run as this replica goes on with it after a takeover."""
    run = LiveRun(read_ownership(run_id, meta, epoch), read_entries(stream), int(meta[b"checkpoint"]))
    if b"base_checkpoint" in meta:
        run.note_base(meta[b"base_checkpoint"].decode())
    run.started_at = _from_ms(meta[b"started_ms"])
    return run


def read_entries(stream: Sequence[StreamEntry]) -> list[Entry]:
    """The entries of a log; fences are left out."""
    return [
        Entry(int(entry_id.split(b"-")[1]), fields[ENTRY_FIELD], RunLogEntry.FromString(fields[ENTRY_FIELD]).events)
        for entry_id, fields in stream
        if ENTRY_FIELD in fields
    ]


def _own_fields(run: LiveRun, replica_id: str) -> Command:
    own = run.ownership
    # A run that ends with its owner is never executed again, so what was asked need not be kept.
    request = own.request.SerializeToString() if own.on_disconnect is OnDisconnect.CONTINUE else _named(own.request)
    base = () if run.base_checkpoint is None else ("base_checkpoint", run.base_checkpoint)
    return (
        "owner", replica_id, "epoch", own.epoch, "tenant", own.tenant, "user", own.user, "request", request,
        "on_disconnect", own.on_disconnect, "may_replace", int(own.may_replace), "stored", int(own.stored),
        "request_id", own.request_id, "created_ms", _to_ms(own.created_at), "checkpoint", run.checkpoint_seq,
        "status", run.status if run.status.is_active else RunStatus.RUNNING,
        "started_ms", _to_ms(run.started_at), "key_id", own.key_id, "prompt_estimate", own.prompt_estimate, *base,
    )  # fmt: skip


def _pairs(run: LiveRun) -> list[str | bytes]:
    """Every entry with its id under the present epoch."""
    pairs: list[str | bytes] = []
    for entry in run.entries:
        pairs += (f"{run.ownership.epoch}-{entry.last_seq}", entry.data)
    return pairs


def _named(request: ExecuteRequest) -> bytes:
    """The request without the conversation: just what a record shows."""
    brief = ExecuteRequest(run_id=request.run_id, agent_id=request.agent_id, model=request.model)
    if request.HasField("thread"):
        brief.thread.CopyFrom(request.thread)
    return brief.SerializeToString()


def _to_ms(time: datetime | None) -> int:
    return int(time.timestamp() * 1000) if time else 0


def _from_ms(value: bytes) -> datetime | None:
    return datetime.fromtimestamp(int(value) / 1000, UTC) if int(value) else None
