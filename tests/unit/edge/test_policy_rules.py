"""Rules of the platform and of tenants: how they are read, and how they count together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dormouse_runtime.filters import Action
from edge.auth.caller import Grants
from edge.policy import grants
from edge.policy.hosts import narrowed
from edge.policy.rules import Rules, RulesError, of_settings, read_rules_file
from edge.tool_scopes import tool_scopes


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"output": [{"filter": "secrets"}]}, "output.0.action"),
        ({"output": [{"filter": "nobody", "action": "mask"}]}, "there is no filter 'nobody'"),
        ({"output": [{"filter": "patterns", "action": "mask"}]}, "wants patterns"),
        ({"input": [{"filter": "patterns", "action": "mask", "patterns": ["("]}]}, "no regular expression"),
        ({"hosts": ["https://example.org/"]}, "hosts.0"),
        ({"tainted_runs": "maybe"}, "tainted_runs"),
    ],
)
def test_rules_that_make_no_sense_are_refused_with_their_place(value: Any, names: str) -> None:
    with pytest.raises(RulesError, match="tenant t1: settings") as refused:
        of_settings({"safety": value}, "t1")
    assert names in str(refused.value)


def test_the_platforms_rules_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "safety.yaml"
    file.write_text("prompt_leak: flag\ninput: [{filter: secrets, action: block}]\n")
    rules = read_rules_file(file)
    assert rules.prompt_leak is Action.FLAG
    file.write_text("input: [")
    with pytest.raises(RulesError, match="is no YAML"):
        read_rules_file(file)


def test_of_two_rules_the_stricter_counts_and_filters_add_up() -> None:
    platform = Rules.read(
        {"input": [{"filter": "secrets", "action": "mask"}], "tainted_runs": "strict", "hosts": ["*.example.org"]}, "p"
    )
    tenant = Rules.read(
        {
            "input": [{"filter": "personal_data", "action": "flag"}],
            "tainted_runs": "open",
            "prompt_leak": "block",
            "hosts": ["api.example.org", "evil.example"],
        },
        "t",
    )
    for both in (platform.beside(tenant), tenant.beside(platform)):
        assert {wish.filter for wish in both.input} == {"secrets", "personal_data"}
        assert both.tainted_runs == "strict"
        assert both.prompt_leak is Action.BLOCK
        assert both.hosts == ("api.example.org",)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, None, None),
        (None, ["a.org"], ("a.org",)),
        (["a.org"], ["b.org"], ()),
        (["*.a.org"], ["x.a.org", "a.org", "xa.org"], ("x.a.org",)),
        (["*.a.org"], ["*.b.a.org"], ("*.b.a.org",)),
        (["*.a.org:8443"], ["x.a.org", "x.a.org:8443"], ("x.a.org:8443",)),
        (["A.org"], ["a.ORG"], ("a.org",)),
    ],
)
def test_lists_of_hosts_are_narrowed(one: Any, other: Any, both: Any) -> None:
    assert narrowed(one, other) == narrowed(other, one) == both


def test_grants_name_tools_and_hosts() -> None:
    granted = Grants(tools=frozenset({"http_get", "host:*.example.org"}))
    assert grants.tool_names(granted) == frozenset({"http_get"})
    assert grants.hosts(granted) == ("*.example.org",)
    assert grants.tool_names(Grants()) is None
    assert grants.tool_names(Grants(tools=frozenset())) == frozenset()
    assert grants.tool_names(Grants(tools=frozenset({"host:a.org"}))) is None


def test_a_token_says_exactly_what_is_granted() -> None:
    assert tool_scopes(None, None) == ("tools",)
    assert tool_scopes(["b", "a"], None) == ("tool:a", "tool:b")
    assert tool_scopes(["a"], ["x.org"]) == ("tool:a", "host:x.org")
    assert tool_scopes(None, []) == ("tools", "host:")
    assert tool_scopes([], None) == ()


@pytest.mark.parametrize(
    ("wanted", "own", "is_within"),
    [
        (None, None, True),
        (["a"], None, True),
        (None, ["a"], False),
        (["a"], ["a", "b"], True),
        (["a", "c"], ["a", "b"], False),
        (["a"], ["a", "host:x.org"], False),
        (["a", "host:x.org"], ["a", "host:*.org"], True),
        (["a", "host:x.org", "host:y.com"], ["a", "host:x.org"], False),
        (["a", "host:x.org"], ["a", "b"], True),
        (["host:x.org"], ["a"], False),
    ],
)
def test_nobody_gives_tools_or_hosts_that_they_have_not_got(wanted: Any, own: Any, is_within: bool) -> None:
    granted = [Grants(tools=None if names is None else frozenset(names)) for names in (wanted, own)]
    assert grants.tools_within(*granted) is is_within
