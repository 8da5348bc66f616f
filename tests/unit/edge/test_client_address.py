"""Whose request it is behind proxies, and what nobody can make us believe."""

from typing import Any

import pytest
from edge.client_address import base_url, client_address, is_secure, parse_proxies, site_of

PROXIES = parse_proxies(["10.0.0.0/8", "192.168.1.1", "fd00::/8"])


def scope(peer: str | None, *headers: tuple[str, str], scheme: str = "http") -> dict[str, Any]:
    return {
        "client": (peer, 1234) if peer is not None else None,
        "scheme": scheme,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not a proxy of ours: its word is nothing
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),  # the client's own invention stands to the left
        ("10.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7"),  # so do several headers
        ("10.0.0.1", ["203.0.113.7, 10.2.3.4, 192.168.1.1"], "203.0.113.7"),
        ("10.0.0.1", ["10.9.9.9, 10.8.8.8"], "10.9.9.9"),  # somebody inside
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0:0::1"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fe80::1%eth0", ["203.0.113.7"], "fe80::1"),
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [",,,"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7\xff"], "10.0.0.1"),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("10.0.0.1", ["010.0.0.1"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, " * 100 + "10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7" + ", 10.0.0.2" * 100], "10.0.0.2"),  # not endlessly
        (None, ["203.0.113.7"], ""),
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_no_proxy_of_ours(
    peer: str | None, forwarded: list[str], client: str
) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert client_address(scope(peer, *headers), PROXIES) == client


def test_without_trusted_proxies_headers_say_nothing() -> None:
    headers = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example")]
    lying = scope("10.0.0.1", *headers, ("host", "b.example"))
    assert client_address(lying, ()) == "10.0.0.1"
    assert not is_secure(lying, ())
    assert base_url(lying, ()) == "http://b.example"


def test_forwarded_is_not_read() -> None:
    assert client_address(scope("10.0.0.1", ("forwarded", "for=203.0.113.7")), PROXIES) == "10.0.0.1"


def test_the_scheme_is_our_own_or_a_trusted_proxys_word() -> None:
    assert is_secure(scope("203.0.113.7", scheme="https"), PROXIES)
    assert is_secure(scope("10.0.0.1", ("x-forwarded-proto", "HTTPS")), PROXIES)
    assert not is_secure(scope("10.0.0.1", ("x-forwarded-proto", "https, http")), PROXIES)
    assert not is_secure(scope("203.0.113.7", ("x-forwarded-proto", "https")), PROXIES)


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ([("host", "api.example.org")], "http://api.example.org"),
        ([("host", "[::1]:8080")], "http://[::1]:8080"),
        ([("host", "in"), ("x-forwarded-host", "api.example.org:444"), ("x-forwarded-proto", "https")],
         "https://api.example.org:444"),
        ([("host", "evil.example/path")], ""),
        ([("host", "user@evil.example")], ""),
        ([("host", "evil\r\nx: y")], ""),
        ([("host", "-x")], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_host_is_a_sane_one_or_none(headers: list[tuple[str, str]], url: str) -> None:
    assert base_url(scope("10.0.0.1", *headers), PROXIES) == url


def test_a_subscriber_is_an_address_or_64_bits() -> None:
    assert site_of("203.0.113.7") == "203.0.113.7"
    assert site_of("2001:db8:1:2:3:4:5:6") == site_of("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert site_of("") == ""


@pytest.mark.parametrize("word", ["10.0.0.1/8", "proxy", "10.0.0.0/33", "*"])
def test_a_proxy_that_is_no_network_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"wants addresses or networks such as"):
        parse_proxies([word])
