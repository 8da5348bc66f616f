"""Neighbouring passages made one, and the ids of both."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from embed_fn.store.records import Passage

MOST_MERGED: Final = 100
_ID: Final = re.compile(r"(?P<document>.{1,200})\.(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChunkId:
    """The passages `first` to `last` of a document."""

    document: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "ChunkId | None":
        """None: this is not the id of a passage."""
        match = _ID.fullmatch(text)
        if match is None:
            return None
        first = int(match["first"])
        last = int(match["last"] or first)
        return cls(match["document"], first, last) if first <= last < first + MOST_MERGED else None

    def __str__(self) -> str:
        return f"{self.document}.{self.first}" + (f"-{self.last}" if self.last > self.first else "")


def passage_from(row: Mapping[str, Any]) -> Passage:
    """Of a row with the columns of a chunk, and its document's id and name."""
    return Passage(
        chunk_id=str(ChunkId(row["document_id"], row["number"], row["number"])),
        document_id=row["document_id"],
        document_name=row["document_name"],
        text=row["text"],
        headings=tuple(row["headings"]),
        first_page=row["first_page"],
        last_page=row["last_page"],
        start=row["start_offset"],
        end=row["end_offset"],
    )


def merged(passages: Sequence[Passage], chunk_id: ChunkId) -> Passage:
    """One passage out of neighbours in their order.

    Offsets stay true: what two share is there once, and the white space between them, which is not stored, is as many
    line breaks as it has characters. The headings are those that all are under.
    """
    first = passages[0]
    text, end = first.text, first.end
    headings = list(first.headings)
    for passage in passages[1:]:
        gap = passage.start - end
        text += "\n" * gap + passage.text if gap >= 0 else passage.text[-gap:]
        end = max(end, passage.end)
        common = zip(headings, passage.headings, strict=False)
        headings = headings[
            : next((i for i, (a, b) in enumerate(common) if a != b), min(len(headings), len(passage.headings)))
        ]
    return replace(
        first,
        chunk_id=str(chunk_id),
        text=text,
        headings=tuple(headings),
        last_page=max(passage.last_page for passage in passages),
        end=end,
    )
