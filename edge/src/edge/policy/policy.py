"""Holds a run to what its caller, its tenant and the operator allow, before it starts."""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from dormouse.agent.v1.message_pb2 import Message, Role
from dormouse.agent.v1.safety_pb2 import Filter, FilterAction, FilterMatched, HostLimit, Safety
from dormouse.common.v1.error_pb2 import ErrorReason
from dormouse_runtime.errors import DormouseError
from dormouse_runtime.filters import BlockedError, screens, whole

from edge.agents import AgentDirectory
from edge.audit import AuditLog
from edge.auth.caller import Caller
from edge.errors import ApiError, invalid_argument
from edge.runs.model import RunRecord, RunSpec
from edge.runs.ownership import Ownership
from edge.tool_scopes import tool_scopes

from . import grants
from .hosts import narrowed
from .metrics import MATCHES, NARROWED
from .rules import ACTIONS, Rules, input_rules
from .tenant_rules import TenantRules

_log = logging.getLogger(__name__)
_ACTION_NAMES: Final = {number: action.value for action, number in ACTIONS.items()}
_NOTING_S: Final = 2.0
_BLOCKED: Final = "A filter does not let this text through: it holds {}."
_FILTERED_ROLES: Final = frozenset((Role.ROLE_USER, Role.ROLE_TOOL, Role.ROLE_ASSISTANT))


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose run it is, as the audit log wants to know it."""

    tenant: str
    user: str
    key_id: str


class Policy:
    """`secret`: what marks and canaries are made from."""

    def __init__(
        self, platform: Rules, tenants: TenantRules, agents: AgentDirectory, audit: AuditLog, secret: bytes
    ) -> None:
        self._platform = platform
        self._tenants = tenants
        self._agents = agents
        self._audit = audit
        self._noting: set[asyncio.Task[None]] = set()
        self._secret = hashlib.blake2b(secret, person=b"dormouse safety").digest()

    async def check(self, caller: Caller, spec: RunSpec) -> RunSpec:
        """The run as it may be: with no more tools than are granted, its rules, and its input filtered.

        Raises AGENT_NOT_FOUND, MODEL_NOT_FOUND for what is not granted, as if it were not there; ApiError
        CONTENT_FILTERED; DATABASE_UNAVAILABLE where the tenant's rules are not known.
        """
        rules = await self.rules(caller)
        spec = await self._granted(caller, spec)
        limit = narrowed(rules.hosts, grants.hosts(caller.grants))
        scopes = tool_scopes(spec.tools, limit)
        if sum(map(len, scopes)) > grants.SCOPES_BYTES:
            raise invalid_argument("The names of the tools are too long together; name fewer.", "tools")
        spec = replace(spec, safety=self._safety(spec, rules, limit))
        return await self._filtered(caller, spec, rules)

    async def rules(self, caller: Caller) -> Rules:
        """The platform's and the tenant's together. Errors: DATABASE_UNAVAILABLE."""
        return self._platform.beside(await self._tenants.get(caller.tenant))

    async def tool_scopes(self, caller: Caller) -> tuple[str, ...]:
        """What a token for tool_fn says that the caller uses directly. Errors: DATABASE_UNAVAILABLE."""
        limit = (await self.rules(caller)).hosts
        return tool_scopes(grants.tool_names(caller.grants), narrowed(limit, grants.hosts(caller.grants)))

    def check_answers(self, caller: Caller, run: RunRecord, answers: Mapping[str, Any]) -> None:
        """An answer lets a tool run: who gives it needs the grants for that. Raises RUN_NOT_FOUND."""
        names = grants.tool_names(caller.grants)
        asked = [interrupt for interrupt in run.interrupts if interrupt.id in answers]
        tools = {str(orjson.loads(each.details_json or "{}").get("tool", "")) for each in asked} - {""}
        if not _grants_agent(caller, run.agent_id) or (names is not None and tools - names):
            raise DormouseError(ErrorReason.ERROR_REASON_RUN_NOT_FOUND, "There is no run with this id.")

    def note_match(self, own: Ownership, match: FilterMatched) -> None:
        """A filter has found something in what a run's model said. Noted behind the run's back: it goes on."""
        action = _ACTION_NAMES.get(match.action, "flag")
        owner = Owner(own.tenant, own.user, own.key_id)
        task = asyncio.create_task(self._note(owner, own.run_id, match.name, action, match.kind, match.place))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def close(self) -> None:
        """Writes down what is still to be noted."""
        await self._tenants.close()
        if self._noting:
            await asyncio.wait(self._noting, timeout=_NOTING_S)

    async def _granted(self, caller: Caller, spec: RunSpec) -> RunSpec:
        granted = caller.grants
        if not _grants_agent(caller, spec.agent_id):
            raise _unknown(ErrorReason.ERROR_REASON_AGENT_NOT_FOUND, "agent", spec.agent_id)
        if granted.models is not None:
            model = spec.model or (await self._agents.catalogue()).default_model
            if not model or not granted.has_model(model):
                raise _unknown(ErrorReason.ERROR_REASON_MODEL_NOT_FOUND, "model", spec.model or "default")
            spec = replace(spec, model=model)
        names = grants.tool_names(granted)
        if names is None:
            return spec
        wanted = names if spec.tools is None else names.intersection(spec.tools)
        NARROWED.inc()
        return replace(spec, tools=sorted(wanted))

    def _safety(self, spec: RunSpec, rules: Rules, limit: tuple[str, ...] | None) -> Safety:
        # The same for all runs of a thread, so that a model server finds what it has read already.
        place = spec.thread_id or spec.run_id
        system = "\n".join(
            part.text for message in spec.input if message.role == Role.ROLE_SYSTEM for part in message.content
        )
        return Safety(
            mark=self._derived("mark", spec.tenant, place),
            tainted=rules.taint_rule,
            trusted_hosts=rules.trusted_hosts,
            output=[
                Filter(name=wish.filter, action=ACTIONS[wish.action], patterns=wish.patterns) for wish in rules.output
            ],
            leak=ACTIONS[rules.prompt_leak] if rules.prompt_leak else FilterAction.FILTER_ACTION_UNSPECIFIED,
            canary=self._derived("canary", spec.tenant, spec.thread_id or system) if rules.prompt_leak else "",
            log_content=rules.log_content,
            hosts=None if limit is None else HostLimit(patterns=limit),
        )

    def _derived(self, purpose: str, *parts: str) -> str:
        """Text that nobody can tell who does not know the secret: 16 letters and digits, with both among them."""
        message = "\0".join((purpose, *parts)).encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._secret, message, "sha256")
        return f"{purpose[0]}7{base64.b32encode(digest)[:14].decode().lower()}"

    async def _filtered(self, caller: Caller, spec: RunSpec, rules: Rules) -> RunSpec:
        if not rules.input:
            return spec
        found: dict[tuple[str, str, str], None] = {}
        wanted = input_rules(rules.input)

        def clean(text: str) -> str:
            return whole(text, screens(wanted, lambda name, action, kind: found.setdefault((name, action.value, kind))))

        blocked: BlockedError | None = None
        messages = list(spec.input)
        try:
            messages = [
                _with_texts(message, clean) if message.role in _FILTERED_ROLES else message for message in messages
            ]
        except BlockedError as error:
            blocked = error
        owner = Owner(caller.tenant, caller.user, caller.key_id)
        for name, action, kind in found:
            await self._note(owner, spec.run_id, name, action, kind, "input")
        if blocked is not None:
            message = _BLOCKED.format(blocked.kind.replace("_", " "))
            raise ApiError.of(ErrorReason.ERROR_REASON_CONTENT_FILTERED, message)
        return replace(spec, input=messages)

    async def _note(self, owner: Owner, run_id: str, name: str, action: str, kind: str, place: str) -> None:
        MATCHES.labels(name, action, place).inc()
        _log.info("a filter matched", extra={"run_id": run_id, "filter": name, "action": action, "kind": kind})
        # Soft: a run does not end because it cannot be noted that somebody wrote an address.
        await self._audit.note(
            owner, "access.filter_matched", run_id, filter=name, filter_action=action, kind=kind, place=place
        )


def _with_texts(message: Message, clean: Any) -> Message:
    changed: Message | None = None
    for index, part in enumerate(message.content):
        if part.WhichOneof("part") == "text" and (text := clean(part.text)) != part.text:
            if changed is None:
                changed = Message()
                changed.CopyFrom(message)
            changed.content[index].text = text
    return message if changed is None else changed


def _grants_agent(caller: Caller, agent_id: str) -> bool:
    return caller.grants.agents is None or agent_id in caller.grants.agents


def _unknown(reason: int, kind: str, name: str) -> DormouseError:
    return DormouseError(reason, f"The {kind} `{name[:100]}` does not exist.", details={"param": kind})
