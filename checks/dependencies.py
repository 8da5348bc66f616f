"""`python -m checks.dependencies`: what is locked is pinned, hashed, the same everywhere, installed so, and licensed.

Whether a vulnerability is known in any of it changes without us: `make audit` asks those who know, over the network.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_LINE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]+\])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+))?"
)
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")

# Whoever passes the platform on can do so under these, with their notices.
FREE: Final = frozenset({
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Zlib"),
    *("Unlicense", "Apache-2.0 WITH LLVM-exception"),
    # File by file: what is not changed asks for nothing.
    "MPL-2.0",
})  # fmt: skip
# Packages whose metadata speak another language, or whose licence asks for more.
KNOWN: Final[Mapping[str, str]] = {
    "componentize-py": "Apache-2.0 WITH LLVM-exception: its metadata are silent; it builds the sandbox only",
    "psycopg": "LGPL-3.0-only: used as a library that anybody can replace, which is what it asks for",
    "psycopg-binary": "LGPL-3.0-only: the same",
    "psycopg-pool": "LGPL-3.0-only: the same",
}
_OLD_NAMES: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}

# What ends up in an image or on the machine of whoever runs `make up`; tools that only check are not passed on.
SHIPPED: Final = ("edge", "agent_fn", "tool_fn", "embed_fn", "migrations", "devstack", "up", "model_server")
ALONE: Final = frozenset({"uv", "audit", "retrieval-eval", "build", "terraform"})
"""Lists that are installed on their own, beside the others."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement of a locked list."""

    name: str
    version: str
    marker: str
    hashes: int

    @property
    def applies_here(self) -> bool:
        return not self.marker or Marker(self.marker).evaluate()


def main() -> int:
    """0: all is well. 1: it is not; standard output tells what."""
    problems = list(examine(Path("requirements")))
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


def examine(folder: Path) -> Iterator[str]:
    """What is wrong with the lists in a folder, and with what is installed of them."""
    lists = {}
    for file in sorted(folder.glob("*.txt")):
        pins, strange = parse(file.read_text())
        lists[file.stem] = pins
        yield from (f"{file.name}: {line} is no pinned requirement" for line in strange)
        yield from (f"{file.name}: {pin.name} has no hash" for pin in pins if not pin.hashes)
    together = {name: pins for name, pins in lists.items() if name not in ALONE}
    yield from conflicts(together)
    yield from missing(folder, lists)
    yield from not_installed(lists.get("dev", []))
    yield from unlicensed({pin.name for name in SHIPPED for pin in lists.get(name, []) if pin.applies_here})


def parse(text: str) -> tuple[list[Pin], list[str]]:
    """The pins of a list, and the lines that are none: options, URLs, ranges."""
    pins, strange = [], []
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.partition(" #")[0].strip()
        if not stripped or stripped.startswith("#"):
            continue
        requirement, _, hashes = stripped.partition(" --hash")
        found = _LINE.fullmatch(requirement.strip())
        if found is None:
            strange.append(requirement.strip())
            continue
        marker = (found["marker"] or "").strip()
        count = len(_HASH.findall(f"--hash{hashes}"))
        pins.append(Pin(canonicalize_name(found["name"]), found["version"], marker, count))
    return pins, strange


def conflicts(lists: Mapping[str, Iterable[Pin]]) -> Iterator[str]:
    """Packages that two lists pin differently: what is tested would not be what ships."""
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    for name, pins in lists.items():
        for pin in pins:
            where, version = seen.setdefault((pin.name, pin.marker), (name, pin.version))
            if version != pin.version:
                yield f"{pin.name}: {where}.txt pins {version}, {name}.txt {pin.version}"


def missing(folder: Path, lists: Mapping[str, Iterable[Pin]]) -> Iterator[str]:
    """What is asked for by name in an .in file, and is not locked, or not in the version that is wanted."""
    for file in sorted(folder.glob("*.in")):
        pinned = {pin.name: pin.version for pin in lists.get(file.stem, ())}
        for line in file.read_text().splitlines():
            wanted = line.partition("#")[0].strip()
            if not wanted:
                continue
            requirement = Requirement(wanted)
            version = pinned.get(canonicalize_name(requirement.name))
            if version is None or version not in requirement.specifier:
                yield f"{file.name}: {wanted} is not what {file.stem}.txt has; run `make lock`"


def not_installed(pins: Iterable[Pin]) -> Iterator[str]:
    """Where this environment is another than the locked one."""
    for pin in pins:
        if not pin.applies_here:
            continue
        try:
            version = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            version = "nothing"
        if version != pin.version:
            yield f"{pin.name}: {pin.version} is locked, {version} is installed; run `make .venv/dev.stamp`"


def unlicensed(names: Iterable[str]) -> Iterator[str]:
    """Packages whose licence nobody has looked at."""
    for name in sorted(names):
        if name in KNOWN:
            continue
        try:
            terms = licence_of(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            continue  # said above
        if not is_free(terms):
            yield f"{name}: its licence, {terms or 'unknown'}, is neither in FREE nor is the package in KNOWN"


def licence_of(about: metadata.PackageMetadata) -> str:
    """As an SPDX expression where it is one: of the metadata's own field, its classifiers, or what it says in short."""
    if "License-Expression" in about:
        return about["License-Expression"]
    named = [
        value.rpartition("::")[2].strip()
        for value in about.get_all("Classifier") or []
        if value.startswith("License ::")
    ]
    said = [about["License"].strip().partition("\n")[0]] if "License" in about else []
    return " AND ".join(_OLD_NAMES.get(word, word) for word in named or said)


def is_free(terms: str) -> bool:
    """Whether an SPDX expression can be met with licences of FREE: all of an AND, any of an OR."""
    terms = terms.strip()
    if terms.startswith("(") and terms.endswith(")") and "(" not in terms[1:]:
        terms = terms[1:-1]
    for word, enough in ((" AND ", all), (" OR ", any)):
        parts = _split(terms, word)
        if len(parts) > 1:
            return enough(is_free(part) for part in parts)
    return terms in FREE


def _split(terms: str, word: str) -> list[str]:
    """At a word that stands in no parentheses."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(terms):
        depth += (letter == "(") - (letter == ")")
        if not depth and terms.startswith(word, index):
            parts.append(terms[start:index])
            start = index + len(word)
    return [*parts, terms[start:]]


if __name__ == "__main__":
    sys.exit(main())
