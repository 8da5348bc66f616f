"""Filters: what they find, and that no cut of a stream lets through what the whole would not."""

from __future__ import annotations

import base64
import codecs
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from dormouse_runtime.detectors import PERSONAL_DATA, SECRETS, masked
from dormouse_runtime.filters import Action, BlockedError, Rule, Sieve, Stage, UnknownFilterError, screens, whole
from dormouse_runtime.leaks import LeakGuard

KEY = "dm_live_" + "a1B2" * 12 + "x"
SECRET_TEXTS = {
    "dormouse_key": KEY,
    "jwt": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl",  # pragma: allowlist secret - made up
    "aws_key": "AKIAIOSFODNN7EXAMPLE",  # pragma: allowlist secret - made up
    "github_token": "ghp_" + "a1" * 18,
    "slack_token": "xoxb-1234567890-abcdefghij",  # pragma: allowlist secret - made up
    "api_key": "sk-proj-" + "Ab1" * 10,
    "stripe_key": "sk_live_" + "4eC39HqLyjWD" * 2,
    "bearer_token": "Bearer abcdef0123456789abcdef",
    "password": "password: hunter2hunter2",
    "private_key": "-----BEGIN RSA PRIVATE KEY-----"  # pragma: allowlist secret - made up
    "\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
}
PERSONAL_TEXTS = {
    "email": "ann.lee+shop@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 (0)30 901820-12",
}
HARMLESS = (
    "Call me at 10:30 on 2026-11-20. Order 4111 1111 1111 1112 has 12,345.67 items; version 10.11.12.13 of 2026. "
    "Use user@host? No: write a@b. The pass is a mountain road, the token a coin. run_8dYh2mPz0ZcA5kQw1nRtXvBg, "
    "req_0123456789abcdef, DE00 1234, 1795167295595 ms, 0x7fffffff, f47ac10b-58cc-4372-a567-0e02b2c3d479."
)


def nobody(name: str, action: Action, kind: str) -> None:
    """Hears it."""


@pytest.mark.parametrize(("kind", "text"), SECRET_TEXTS.items())
def test_secrets_are_found_by_their_shapes(kind: str, text: str) -> None:
    assert masked(f"See {text} there.", SECRETS) == f"See [{kind}] there."


@pytest.mark.parametrize(("kind", "text"), PERSONAL_TEXTS.items())
def test_personal_data_is_found_by_its_shape_and_checksum(kind: str, text: str) -> None:
    assert masked(f"See {text}, there.", PERSONAL_DATA) == f"See [{kind}], there."


@pytest.mark.parametrize("text", ["+1 415-555-0132", "0049 30 1234567", "(030) 901820", "415-555-0132", "089/1234567"])
def test_phone_numbers_are_written_in_many_ways(text: str) -> None:
    assert masked(text, PERSONAL_DATA) == "[phone]"


def test_what_only_looks_like_it_stays() -> None:
    assert masked(HARMLESS, PERSONAL_DATA) == HARMLESS
    assert masked(HARMLESS, SECRETS) == HARMLESS


def pieces(text: str, seed: int) -> list[str]:
    choice = random.Random(seed)
    cut: list[str] = []
    while text:
        length = choice.choice((1, 1, 2, 3, 5, 8, 20))
        cut.append(text[:length])
        text = text[length:]
    return cut


def streamed(text: str, stages: Callable[[], list[Stage]], seed: int) -> tuple[str, list[str]]:
    sieve = Sieve(stages())
    shown = [sieve.feed(piece) for piece in pieces(text, seed)]
    return "".join([*shown, sieve.finish()]), shown


def shown_until_blocked(text: str, stages: Sequence[Stage], seed: int) -> str:
    sieve, shown = Sieve(stages), ""
    try:
        for piece in pieces(text, seed):
            shown += sieve.feed(piece)
        sieve.finish()
    except BlockedError:
        return shown
    raise AssertionError(f"nothing was blocked: {shown}")


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_is_masked_as_the_whole_text_wherever_it_is_cut(seed: int) -> None:
    order = random.Random(seed)
    words = [*SECRET_TEXTS.values(), *PERSONAL_TEXTS.values(), *HARMLESS.split(), "and", "or\n"]
    order.shuffle(words)
    text = " ".join(words)
    rules = [Rule("secrets", Action.MASK), Rule("personal_data", Action.MASK)]
    shown, _ = streamed(text, lambda: screens(rules, nobody), seed)
    assert shown == whole(text, screens(rules, nobody))
    for hidden in (*SECRET_TEXTS.values(), *PERSONAL_TEXTS.values()):
        assert hidden not in shown


@pytest.mark.parametrize("seed", range(10))
def test_nothing_of_what_is_blocked_has_been_shown(seed: int) -> None:
    stages = screens([Rule("secrets", Action.BLOCK)], nobody)
    assert KEY[:8] not in shown_until_blocked(f"The key you want is {KEY} as I said.", stages, seed)


def test_what_is_flagged_is_told_and_goes_on() -> None:
    told: list[tuple[str, str]] = []
    text = f"Mail ann@example.org, {KEY}"
    rules = [Rule("personal_data", Action.FLAG), Rule("secrets", Action.FLAG)]
    assert whole(text, screens(rules, lambda name, _action, kind: told.append((name, kind)))) == text
    assert told == [("personal_data", "email"), ("secrets", "dormouse_key")]


def test_little_is_held_back() -> None:
    sieve = Sieve(screens([Rule("secrets", Action.MASK), Rule("personal_data", Action.MASK)], nobody))
    said = shown = ""
    for word in HARMLESS.split(" "):
        said += f"{word} "
        shown += sieve.feed(f"{word} ")
        assert len(said) - len(shown) < 60
    assert shown + sieve.finish() == said


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "image", ["![a](https://x.example/?q=1)", "![a][ref]", '<img src="//x.example/1">', "![](http://x.example/%20)"]
)
def test_pictures_from_elsewhere_are_masked(image: str, seed: int) -> None:
    text = f"Look: {image} and ![mine](/files/1.png), if a < b [and](https://x.example) c."
    rule = Rule("remote_images", Action.MASK)
    shown, _ = streamed(text, lambda: screens([rule], nobody), seed)
    assert shown == text.replace(image, "[remote_image]")


def test_patterns_are_the_tenants_own() -> None:
    rule = Rule("patterns", Action.MASK, (r"Project \w+", r"\bACME-\d+"))
    text = "Ask about Project Nightjar and ACME-12 now" + " and then" * 60
    shown, _ = streamed(text, lambda: screens([rule], nobody), 3)
    assert shown == text.replace("Project Nightjar", "[pattern]").replace("ACME-12", "[pattern]")


@pytest.mark.parametrize("rule", [Rule("nobody's", Action.FLAG), Rule("patterns", Action.FLAG, ("(",))])
def test_a_filter_that_there_is_not_is_an_error(rule: Rule) -> None:
    with pytest.raises(UnknownFilterError):
        screens([rule], nobody)


def test_a_plug_in_is_a_filter_by_the_name_of_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shouting.py").write_text(
        "class Finder:\n"
        "    longest = 20\n"
        "    def find(self, text):\n"
        "        import re\n"
        "        return [(found.start(), found.end(), 'shout') for found in re.finditer(r'[A-Z]{5,}', text)]\n"
        "finder = Finder()\n"
    )
    about = tmp_path / "shouting-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[dormouse.filters]\nshouting = shouting:finder\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rule = Rule("shouting", Action.MASK)
    for seed in range(5):
        shown, _ = streamed("Do not say HELLO to me, ever.", lambda: screens([rule], nobody), seed)
        assert shown == "Do not say [shout] to me, ever."


PROMPT = (
    "You are the assistant of Larch & Sons. The discount code is LARCH-77xQ-2291. Be friendly, and never speak of the "
    "discount code to anybody who has not bought at least three wardrobes in the same year."
)
CODE = "LARCH-77xQ-2291"


@pytest.mark.parametrize(
    "told",
    [
        PROMPT,
        f"The code is {CODE}.",
        " ".join(CODE),
        "-".join(CODE),
        CODE.lower(),
        CODE[::-1],
        codecs.encode(CODE, "rot13"),
        CODE.encode().hex(),
        base64.b64encode(PROMPT.encode()).decode(),
        base64.b64encode(f"x{PROMPT}".encode()).decode(),
        base64.b64encode(f"Code: {CODE}!".encode()).decode(),
        PROMPT[80:160].upper(),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_leak_is_stopped_before_it_is_one(told: str, seed: int) -> None:
    stages = [LeakGuard(PROMPT, Action.BLOCK, nobody)]
    assert len(shown_until_blocked(f"Well, then: {told} That was it.", stages, seed)) < 40


def test_a_leak_is_masked_and_the_rest_stays() -> None:
    shown, _ = streamed(f"Here: {CODE} — use it well.", lambda: [LeakGuard(PROMPT, Action.MASK, nobody)], 5)
    assert CODE not in shown
    assert "[system prompt]" in shown
    assert shown.startswith("Here: ")
    assert shown.endswith("use it well.")


def test_words_that_the_prompt_has_too_are_no_leak() -> None:
    text = "I am the assistant of Larch & Sons, and friendly. Three wardrobes in one year? That is a lot of wardrobes."
    shown, parts = streamed(text, lambda: [LeakGuard(PROMPT, Action.BLOCK, nobody)], 1)
    assert shown == text
    assert len("".join(parts)) > len(text) - 20


def test_no_text_makes_a_filter_slow() -> None:
    texts = ("a" * 50_000, "a@" * 20_000, "4111 " * 10_000, "+1" * 20_000, "password is " * 4000, "-----BEGIN " * 4000)
    began = time.process_time()
    for text in texts:
        whole(text, screens([Rule("secrets", Action.MASK), Rule("personal_data", Action.MASK)], nobody))
    assert time.process_time() - began < 5
