"""Splits text into the pieces this server calls tokens."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\s?\S{1,8}|\s", re.DOTALL)


def split_tokens(text: str) -> list[str]:
    """Pieces that join to exactly `text`: a word with the blank before it, long words in parts of 8."""
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """How many tokens `text` has; an estimate above 100,000 characters."""
    return len(text) // 5 if len(text) > 100_000 else len(_TOKEN.findall(text))
