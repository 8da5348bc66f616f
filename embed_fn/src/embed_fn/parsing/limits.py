"""How much of a file is read before it is refused."""

from dataclasses import dataclass
from typing import Final

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """file_bytes: of the file. pages: pages, slides or sheets. unpacked_bytes, unpacked_ratio and entries: what a
    packed file (DOCX, PPTX, XLSX, and streams in a PDF) may grow to, in all and against its size, and its parts.
    text_characters: of what is read. time_s: for the whole file.
    """

    file_bytes: int = 100 * _MB
    pages: int = 5_000
    unpacked_bytes: int = 200 * _MB
    unpacked_ratio: int = 100
    entries: int = 10_000
    text_characters: int = 120 * _MB
    time_s: float = 60.0


LIMITS: Final = Limits()
