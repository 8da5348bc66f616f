"""The attacks, as data: what stands in the files of `corpus`, and how each is put."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

CORPUS: Final = Path(__file__).with_name("corpus")

ENCODINGS: Final[Mapping[str, Callable[[str], str]]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "tags": lambda text: "".join(chr(0xE0000 + ord(letter)) for letter in text),
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "binary": lambda text: " ".join(f"{byte:08b}" for byte in text.encode()),
    "codes": lambda text: ", ".join(str(byte) for byte in text.encode()),
    "escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "zero_width": "\u200b".join,
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    via: where its text stands: `user`, `page`, `document`, `order` (a tool's output), `inbox` (an MCP server's), or
    `history` (what a client claims was said and done before). tries: the tool that a model which obeys calls, or
    `say`. turns: what the user says one after the other, in place of `text`. allowed: tools whose effect is in order.
    """

    id: str
    kind: str
    text: str
    via: str = "user"
    tries: str = "say"
    turns: tuple[str, ...] = ()
    surface: str = "native"
    agent: str = "react"
    allowed: frozenset[str] = frozenset()
    history: tuple[dict[str, Any], ...] = ()
    ask: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


def corpus() -> list[Attack]:
    """All of them, by class."""
    return [attack for file in sorted(CORPUS.glob("*.yaml")) for attack in _of(file)]


def _of(file: Path) -> list[Attack]:
    document = yaml.safe_load(file.read_text())
    common = {name: value for name, value in document.items() if name != "attacks"}
    attacks = []
    for number, entry in enumerate(document["attacks"], 1):
        values = {**common, **(entry if isinstance(entry, dict) else {"text": entry})}
        text = str(values.pop("text", ""))
        for name in values.pop("encode", ()):
            text = ENCODINGS[name](text)
        text = values.pop("around", "{}").replace("{}", text)
        values["turns"] = tuple(values.get("turns", ()))
        values["history"] = tuple(values.get("history", ()))
        values["allowed"] = frozenset(values.get("allowed", ()))
        attacks.append(Attack(id=f"{file.stem}{number:02}", kind=file.stem, text=text, **values))
    return attacks
