"""Shortens what quotes somebody else, so that what is quoted still ends where its tool says that it ends."""

import re
from typing import Final

# As tools write them around what they quote: the mark is not known to who wrote what stands between.
_BEGIN: Final = re.compile(r"^=== BEGIN QUOTED MATERIAL ([0-9a-f]{8}) ===$", re.MULTILINE)
_END: Final = "=== END QUOTED MATERIAL {} ==="


def shortened(text: str, characters: int, note: str) -> str:
    """The text's first `characters`, with a line behind them that says so. A fence that is open there is closed."""
    kept = text[:characters]
    opened = list(_BEGIN.finditer(kept))
    if opened:
        end = _END.format(opened[-1][1])
        if end not in kept:
            kept = f"{kept[: max(characters - len(end) - 1, opened[-1].end())].rstrip()}\n{end}"
    return f"{kept}\n{note}"
