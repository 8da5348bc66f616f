"""Finds secrets and personal data in texts, by their shapes and checksums.

Shapes find what looks like something: a secret without a shape of its own is not found, and a number that happens to
have a right checksum is. Every pattern is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Found:
    """Where something begins and ends, and what it is, for instance "email"."""

    start: int
    end: int
    kind: str


class Detector(Protocol):
    """Looks for one group of things."""

    def find(self, text: str) -> Iterator[Found]:
        """What there is, in order; nothing overlaps."""
        ...

    def open_from(self, text: str) -> int:
        """From where on the text may become something when it goes on; its length where nowhere."""
        ...


_PRIVATE_KEY: Final = "-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"
_WORDS: Final = (
    r"(?:pass(?:word|wd|phrase)|passwort|kennwort|secret|api[_-]?key|access[_-]?key|auth[_-]?token|client[_-]?secret)"
)
_SECRETS: Final = re.compile(
    rf"(?P<private_key>{_PRIVATE_KEY}[^\0]{{0,8000}}?(?:-----END [A-Z ]{{0,20}}PRIVATE KEY-----|\Z))"
    r"|(?P<dormouse_key>\bdm_[a-z]{2,10}_[0-9A-Za-z]{20,})"
    r"|(?P<jwt>\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*)"
    r"|(?P<aws_key>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"
    r"|(?P<github_token>\b(?:gh[pousr]_[0-9A-Za-z]{30,}|github_pat_\w{30,}))"
    r"|(?P<gitlab_token>\bglpat-[\w-]{20,})"
    r"|(?P<slack_token>\bxox[abeoprs]-[0-9A-Za-z-]{10,})"
    r"|(?P<google_key>\bAIza[\w-]{35})"
    r"|(?P<stripe_key>\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,})"
    r"|(?P<api_key>\b(?:sk|pk|tvly|hf|npm|pypi|lsv2|gsk|xai)[-_](?:[a-z]{2,8}[-_])?[0-9A-Za-z_-]{20,})"
    r"|(?P<bearer_token>(?i:\bbearer)[ \t]+[\w.~+/=-]{12,})"
    r"|(?P<url_password>(?<=://)[^:/?#\s\"'@]{0,80}:(?!\*\*\*@)[^@/\s\"']{1,200}(?=@))"
    rf"|(?P<password>(?i:{_WORDS})[\"']?[ \t]{{0,3}}(?:=|:|\bis\b|\bist\b)[ \t]{{0,3}}[\"']?"
    r"(?=[^\s\"',;]{0,100}\d)(?=[^\s\"',;]{0,100}[A-Za-z])[^\s\"',;]{8,100})"
)
_PERSONAL: Final = re.compile(
    r"(?P<email>(?<![\w.%+-])[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-]))"
    r"|(?P<iban>(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?!\w))"
    r"|(?P<card>(?<![\w.+-])[2-6](?:[ -]?\d){12,18}(?![\w-]))"
    r"|(?P<phone>(?<![\w.+-])(?:(?:\+|00)[1-9]\d{0,2}[ ./-]{0,2}(?:\(0?\d{1,4}\)[ ./-]?)?\d(?:[ ./-]?\d){5,12}"
    r"|\(\d{2,5}\)[ ./-]?\d(?:[ ./-]?\d){4,9}|[2-9]\d{2}[-. ]\d{3}[-. ]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{2,8})"
    r"(?![\w-]))"
)
_PERSONAL_HINT: Final = re.compile(r"@|\d[\d ./()-]{5}")
# Without one of these in it a text has no secret: they are found a hundred times faster than the patterns.
_HINTS: Final = (
    *(
        "-----BEGIN",
        "dm_",
        "eyJ",
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xox",
    ),
    *("AIza", "k_live_", "k_test_", "sk-", "sk_", "pk-", "pk_", "tvly", "hf_", "hf-", "npm_", "npm-", "pypi", "lsv2"),
    *("gsk_", "xai-", "xai_", "earer", "EARER", "://"),
)
_WORD_HINTS: Final = (
    *("passw", "passp", "kennwort", "secret", "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey"),
    *("auth_token", "auth-token", "authtoken"),
)
# What a page that shows an answer would fetch without a question: an address can carry away what a model was told to
# put into it.
_TAGS: Final = r"<(?:img|iframe|video|audio|source|object|embed|link|script)\b"
_REMOTE: Final = re.compile(
    r"(?P<remote_image>!\[[^\]\n]{0,500}\](?:\(\s{0,9}<?(?:[a-z]{2,8}:)?//[^)\n]{0,4000}\)|\[[^\]\n]{0,100}\])"
    rf"|{_TAGS}[^>]{{0,4000}}>)",
    re.IGNORECASE,
)
_OPEN_REMOTE: Final = re.compile(
    rf"!(?:\[[^\]\n]{{0,500}}(?:\](?:[(\[][^)\n]{{0,4000}})?)?)?\Z|{_TAGS}[^>]{{0,4000}}\Z|<[a-z]{{0,6}}\Z",
    re.IGNORECASE,
)
# What may become one of these: a word that is not over; a number in groups; what stands behind a telling word.
_OPEN_SECRET: Final = re.compile(
    rf"{_PRIVATE_KEY}[^\0]*\Z|-----B?[A-Z -]{{0,40}}\Z"
    rf"|(?i:\bbearer|{_WORDS})[\"']?[ \t]{{0,3}}(?:=|:|is?|ist?)?[ \t]{{0,3}}[\"']?[^\s\"',;]{{0,200}}\Z"
    r"|(?<!\S)\S{1,400}\Z"
)
_OPEN_PERSONAL: Final = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}[A-Z0-9 ]{0,40}\Z|(?<!\w)[+(\d][\d ./()-]{0,40}\Z|(?<!\S)\S{1,400}\Z"
)


class _Shapes:
    """By patterns whose groups are the kinds."""

    def __init__(self, pattern: re.Pattern[str], is_open: re.Pattern[str], is_likely: Callable[[str], object]) -> None:
        self._pattern = pattern
        self._open = is_open
        self._is_likely = is_likely

    def find(self, text: str) -> Iterator[Found]:
        if not self._is_likely(text):
            return
        at = 0
        while found := self._pattern.search(text, at):
            kind = found.lastgroup or "pattern"
            length = _length(kind, found[0])
            if length:
                yield Found(found.start(), found.start() + length, kind)
            at = found.start() + max(length, 1)

    def open_from(self, text: str) -> int:
        found = self._open.search(text)
        return len(text) if found is None else found.start()


class Patterns:
    """By regular expressions of somebody's own. What is longer than `longest` characters may be found too late."""

    longest = 200

    def __init__(self, patterns: tuple[str, ...]) -> None:
        """Raises re.error."""
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
        for pattern in patterns:
            re.compile(pattern)

    def find(self, text: str) -> Iterator[Found]:
        for found in self._pattern.finditer(text):
            if found[0]:
                yield Found(found.start(), found.end(), "pattern")

    def open_from(self, text: str) -> int:
        return max(len(text) - self.longest, 0)


def _may_have_secrets(text: str) -> bool:
    if any(hint in text for hint in _HINTS):
        return True
    lowered = text.lower()
    return any(hint in lowered for hint in _WORD_HINTS)


def _length(kind: str, text: str) -> int:
    """How much of what has the shape is it, by its checksum: other numbers may follow. 0: none of it."""
    check = _CHECKS.get(kind)
    if check is None:
        return len(text)
    ends = [*(place for place in range(len(text)) if text[place] in " -"), len(text)]
    return next((end for end in reversed(ends) if check(text[:end])), 0)


def is_card_number(text: str) -> bool:
    """Whether the check digit fits (Luhn, ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0 and len(set(digits)) > 1


def is_iban(text: str) -> bool:
    """Whether the check digits fit (ISO 13616: mod 97 is 1)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


_CHECKS: Final = {"card": is_card_number, "iban": is_iban}
SECRETS: Final[Detector] = _Shapes(_SECRETS, _OPEN_SECRET, _may_have_secrets)
"""Keys and tokens of common shapes, passwords behind the word for it."""
PERSONAL_DATA: Final[Detector] = _Shapes(_PERSONAL, _OPEN_PERSONAL, _PERSONAL_HINT.search)
"""E-mail addresses, phone numbers, card numbers and IBANs."""

REMOTE_IMAGES: Final[Detector] = _Shapes(_REMOTE, _OPEN_REMOTE, lambda text: "![" in text or "<" in text)
"""Pictures and frames from other servers, in Markdown and HTML."""


def masked(text: str, detector: Detector) -> str:
    """The text with the kind of what was found in its place: "[email]"."""
    parts: list[str] = []
    at = 0
    for found in detector.find(text):
        parts += (text[at : found.start], f"[{found.kind}]")
        at = found.end
    return "".join([*parts, text[at:]]) if parts else text
