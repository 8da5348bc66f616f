"""The rules that an operator sets for the platform, in a file, and for a tenant, in its settings; both in one form."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from dormouse.agent.v1.safety_pb2 import FilterAction, TaintRule
from dormouse_runtime.filters import Action, Rule, UnknownFilterError, detector_of
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .hosts import HOST, narrowed

KEY: Final = "safety"
"""Where a tenant's rules are among its settings."""

ACTIONS: Final = {
    Action.FLAG: FilterAction.FILTER_ACTION_FLAG,
    Action.MASK: FilterAction.FILTER_ACTION_MASK,
    Action.BLOCK: FilterAction.FILTER_ACTION_BLOCK,
}
_ORDER: Final = (None, Action.FLAG, Action.MASK, Action.BLOCK)
_TAINT: Final = {
    "open": TaintRule.TAINT_RULE_OPEN,
    "guarded": TaintRule.TAINT_RULE_GUARDED,
    "strict": TaintRule.TAINT_RULE_STRICT,
}
Host = Annotated[str, Field(pattern=HOST, max_length=260)]
Hosts = Annotated[tuple[Host, ...], Field(max_length=100)]
Taint = Literal["open", "guarded", "strict"]


class RulesError(ValueError):
    """Rules that cannot be used; names the place."""


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FilterWish(_Form):
    """A filter and what it does. patterns: for the filter `patterns`."""

    filter: Annotated[str, Field(min_length=1, max_length=64)]
    action: Action
    patterns: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _exists(self) -> Self:
        if (self.filter == "patterns") != bool(self.patterns):
            raise ValueError("the filter `patterns` wants patterns, no other does")
        try:
            detector_of(self.rule)
        except UnknownFilterError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def rule(self) -> Rule:
        """As the filters know it."""
        return Rule(self.filter, self.action, self.patterns)


Filters = Annotated[tuple[FilterWish, ...], Field(max_length=20)]


class Rules(_Form):
    """What is left out is left to whoever else has rules: the tenant's and the platform's count together.

    input: filters for what clients send. output: for what models say. prompt_leak: what is done where a model tells its
    system prompt. hosts: where tools may send to at all; None: wherever the operator's tools may. trusted_hosts: where
    they may send to without a question, also in runs that have read what strangers wrote. tainted_runs: what those may
    do by themselves. log_content: whether logs and traces may hold what was said.
    """

    input: Filters = ()
    output: Filters = ()
    prompt_leak: Action | None = None
    hosts: Hosts | None = None
    trusted_hosts: Hosts = ()
    tainted_runs: Taint | None = None
    log_content: bool = False

    @classmethod
    def read(cls, value: Any, place: str) -> "Rules":
        """From a JSON value. Raises RulesError, which begins with the place."""
        try:
            return cls.model_validate(value, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise RulesError(f"{place}: {where}: {first['msg'].removeprefix('Value error, ')}") from None

    def beside(self, other: "Rules") -> "Rules":
        """Both together: all filters, the stricter of what there can be one of. log_content counts where either says
        so: the platform's is for who runs a platform of their own.
        """
        if NONE in (self, other):
            return other if self == NONE else self
        return Rules(
            input=self.input + other.input,
            output=self.output + other.output,
            prompt_leak=max(self.prompt_leak, other.prompt_leak, key=_ORDER.index),
            hosts=narrowed(self.hosts, other.hosts),
            trusted_hosts=self.trusted_hosts + other.trusted_hosts,
            tainted_runs=max(self.tainted_runs, other.tainted_runs, key=[None, *_TAINT].index),
            log_content=self.log_content or other.log_content,
        )

    @property
    def taint_rule(self) -> TaintRule.ValueType:
        """As it goes to agent_fn."""
        return _TAINT[self.tainted_runs or "guarded"]


NONE: Final = Rules()


def of_settings(settings: Mapping[str, Any], tenant: str) -> Rules:
    """A tenant's rules. Raises RulesError."""
    return Rules.read(settings.get(KEY) or {}, f"tenant {tenant}: settings.{KEY}")


def read_rules_file(path: Path) -> Rules:
    """The platform's, from YAML or JSON. Raises RulesError."""
    try:
        return Rules.read(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, str(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RulesError(f"{path}: is no YAML that can be read: {type(error).__name__}") from error


def input_rules(wishes: Sequence[FilterWish]) -> list[Rule]:
    """As the filters know them."""
    return [wish.rule for wish in wishes]
