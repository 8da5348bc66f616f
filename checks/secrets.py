"""`python -m checks.secrets`: looks for secrets in every file that Git knows.

The patterns are those of detect-secrets, without its guesses by entropy, and by names in Python, which find ids of
examples and arguments of tests; ruff and bandit look at those. A line that must hold something like a secret ends with
the comment `pragma: allowlist secret` and says why.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

ALLOWED: Final = "pragma: allowlist secret"
LINE_LIMIT: Final = 20_000
"""Longer lines are cut: recorded data, not something that somebody typed."""

# Entropy finds ids of examples; addresses of documentation are no secrets; those clouds take long to look for.
_LEFT_OUT: Final = frozenset({
    *("Base64 High Entropy String", "Hex High Entropy String", "Public IP (ipv4)"),
    *("Cloudant Credentials", "IBM Cloud IAM Key", "IBM COS HMAC Credentials", "SoftLayer Credentials"),
})  # fmt: skip
_KEYWORDS: Final = "Secret Keyword"
_IN_URLS: Final = "Basic Auth Credentials"
_SETTINGS: Final = frozenset({".yaml", ".yml", ".toml", ".ini", ".cfg", ".env", ".tf", ".tfvars", ".sh", ".json"})
_NOT_TEXT: Final = frozenset({".xz", ".binpb", ".png", ".pdf", ".docx", ".pptx", ".xlsx", ".ico", ".woff2"})
_LOCKED: Final = re.compile(r"requirements/[^/]+\.txt|libs/stubs/src/.+")
# What stands in for a password: a variable, a blank, a word that everybody makes up.
_DUMMY: Final = re.compile(
    r"(?i)[^a-z0-9]*|.{1,2}|.*(change.?me|example|secret|dummy|fake|x{6,}|[$<{…]).*|password|hidden|hunter2"
)
# Kubernetes calls an object that holds secrets a secret: `existingSecret: dormouse-redis` is a name.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-/.][a-z0-9]+)*")
_NUMBER: Final = re.compile(r"[0-9.]+")
_HOLDS_ONE: Final = re.compile(r"(?i)passw|token|key")
# One of the platform's own. The sum at its end tells a key from the keys that tests and guides make up.
_OWN: Final = re.compile(r"\bdm_live_[0-9A-Za-z]{49}\b")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like a secret. The secret itself is not told: the log of a check is read by many."""

    file: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"


def main() -> int:
    """0: nothing was found. 1: something was; standard output tells where."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout  # noqa: S607 - Git
    files = [name for name in listed.decode().split("\0") if name]
    findings = list(scan(Path(), files))
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    if findings:
        sys.stdout.write(f"If one is none, end its line with a comment: {ALLOWED}. If it is one, replace it.\n")
    return 1 if findings else 0


def scan(root: Path, files: Iterable[str]) -> Iterator[Finding]:
    """Everything found in the files below `root`."""
    known: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
    detectors = [(kind, detector()) for kind, detector in known.items() if kind not in _LEFT_OUT]
    is_own_key = importlib.import_module("edge.auth.keys").is_well_formed
    for file in files:
        path = root / file
        if path.suffix in _NOT_TEXT or _LOCKED.fullmatch(file) or path.is_symlink() or not path.is_file():
            continue
        is_settings = path.suffix in _SETTINGS
        chosen = [detector for kind, detector in detectors if is_settings or kind != _KEYWORDS]
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            text = line[:LINE_LIMIT]
            if ALLOWED in line:
                continue
            for kind in _kinds(chosen, file, text):
                yield Finding(file, number, kind)
            if any(is_own_key(key) for key in _OWN.findall(text)):
                yield Finding(file, number, "API key of this platform")


def _kinds(detectors: Iterable[Any], file: str, line: str) -> Iterator[str]:
    for detector in detectors:
        for found in detector.analyze_line(filename=file, line=line, line_number=1):
            value = (found.secret_value or "").partition(",")[0].rstrip(" }]")  # YAML in one line
            before = line.partition(value)[0]
            if found.type in (_KEYWORDS, _IN_URLS) and _DUMMY.fullmatch(value):
                continue
            if found.type == _KEYWORDS and (
                "#" in before or _NUMBER.fullmatch(value) or (_NAME.fullmatch(value) and not _HOLDS_ONE.search(before))
            ):
                continue
            yield found.type


if __name__ == "__main__":
    sys.exit(main())
