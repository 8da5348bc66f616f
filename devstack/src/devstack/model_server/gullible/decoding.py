"""Reads what is hidden in a text: encodings, invisible letters, letters that look like others, words in pieces."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

_DEEPEST: Final = 3
_MOST: Final = 60
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_BASE32: Final = re.compile(r"\b[A-Z2-7]{24,}={0,6}")
_HEX: Final = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s:,]?){10,}")
_BINARY: Final = re.compile(r"(?:[01]{8}\s?){6,}")
_CODES: Final = re.compile(r"(?:\b\d{2,3}\b[\s,;]+){8,}\d{2,3}\b")
_ESCAPES: Final = re.compile(r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}")
_MORSE: Final = re.compile(r"(?:[.-]{1,6}(?:\s|/)+){10,}[.-]{1,6}")
_SPACED: Final = re.compile(r"(?:(?<=\s)|^)(?:\S[ ]){5,}\S(?=\s|$)", re.MULTILINE)
_PIECES: Final = re.compile(r"[\"'`]\s*(?:\+|\|\||\.\.|&)\s*[\"'`]")
_SET: Final = re.compile(r"\b([A-Za-z]\w{0,20})\s*(?::=|=|:)\s*[\"'`]([^\"'`\n]{1,400})[\"'`]")
_SUM: Final = re.compile(r"\b[A-Za-z]\w{0,20}(?:\s*\+\s*[A-Za-z]\w{0,20})+\b")
_LONG: Final = 20_000
_WORDS: Final = re.compile(
    r"(?i)\b(?:the|to|and|with|you|your|all|now|call|tool|use|fetch|send|say|reveal|print|repeat|show|ignore|prompt|secret|"
    r"https?|url|file|name|previous|instructions|das|und|mit|le|la|les|et|el|los)\b"
)
_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕһԁԛԝοινκτρυх", "aeopcyxijshdqwoivktpyx")
_MORSE_LETTERS: Final = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.. "
    ".---- ..--- ...-- ....- ..... -.... --... ---.. ----. ----- .-.-.- --..-- ---... -..-. -....- ..--.-"
)
_LETTERS: Final = dict(
    zip(
        _MORSE_LETTERS.split(),
        "abcdefghijklmnopqrstuvwxyz1234567890.,:/-_",
        strict=True,
    )
)


def readings(text: str) -> list[str]:
    """The text, and everything that can be read out of it, each once; what is hidden in something hidden, too."""
    found: dict[str, None] = {}
    new = [text]
    for _ in range(_DEEPEST):
        fresh = [each for each in new if each.strip() and each not in found]
        found |= dict.fromkeys(fresh)
        new = [hidden for each in fresh for hidden in _hidden(each)]
        if len(found) > _MOST:
            break
    found |= dict.fromkeys(each for each in new if each.strip())
    return list(found)[:_MOST]


def named_values(text: str) -> dict[str, str]:
    """What a text calls pieces of words: A = "htt" and so on."""
    return dict(_SET.findall(text))


def put_together(text: str, values: dict[str, str]) -> str:
    """The text with quoted pieces joined, and with sums of names in place of which their values stand."""

    def value(found: re.Match[str]) -> str:
        names = [name.strip() for name in found[0].split("+")]
        return "".join(values[name] for name in names) if all(name in values for name in names) else found[0]

    return _PIECES.sub("", _SUM.sub(value, text) if values else text)


def _hidden(text: str) -> Iterator[str]:
    plain = _visible(text)
    if plain != text:
        yield plain
    if tags := _TAGS.findall(text):
        yield "".join(chr(ord(letter) - 0xE0000) for run in tags for letter in run)
    for pattern, decode in (
        (_BASE64, _of_base64),
        (_BASE32, lambda run: base64.b32decode(run + "=" * (-len(run) % 8))),
        (_HEX, lambda run: bytes.fromhex(re.sub(r"0x|\\x|[\s:,]", "", run))),
        (_BINARY, lambda run: bytes(int(part, 2) for part in re.findall(r"[01]{8}", run))),
        (_CODES, lambda run: bytes(int(part) for part in re.findall(r"\d+", run))),
    ):
        for run in pattern.findall(text):
            if decoded := _as_text(decode, run):
                yield decoded
    for run in _MORSE.findall(text):
        yield "".join(_LETTERS.get(letter, " ") for letter in re.split(r"\s", run.replace("/", " / ")))
    if _ESCAPES.search(text):
        yield _ESCAPES.sub(lambda found: chr(int(f"0x{found[0][2:]}", 0)), text)
    if "%" in text and (unquoted := unquote(text)) != text:
        yield unquoted
    if "&" in text and (unescaped := html.unescape(text)) != text:
        yield unescaped
    if _SPACED.search(text):
        yield _SPACED.sub(lambda found: found[0].replace(" ", ""), text)
    if len(text) < _LONG:
        for turned in (codecs.encode(text, "rot13"), text[::-1], " ".join(word[::-1] for word in text.split(" "))):
            if _sense(turned) > _sense(text):
                yield turned


def _sense(text: str) -> int:
    """How much of a text is words: what was turned round makes more sense when it is turned back."""
    return len(_WORDS.findall(text))


def _visible(text: str) -> str:
    kept = (character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", "".join(kept)).translate(_LOOKALIKES)


def _of_base64(run: str) -> bytes:
    return base64.b64decode(run.rstrip("=").replace("-", "+").replace("_", "/") + "=" * (-len(run.rstrip("=")) % 4))


def _as_text(decode: object, run: str) -> str:
    assert callable(decode)
    try:
        text = str(decode(run), "utf-8")
    except (ValueError, binascii.Error):
        return ""
    readable = sum(character.isprintable() or character.isspace() for character in text)
    return text if text and readable == len(text) and any(character.isalpha() for character in text) else ""
