"""A file that is being read, in the confined process: its bytes, what may be read of it, and what was found out."""

from dataclasses import dataclass, field
from io import BytesIO

from dormouse_runtime.workers.errors import RefusalError

from embed_fn.parsing.limits import LIMITS, Limits


@dataclass(slots=True)
class Source:
    """name: cleaned. encoding: of a text. title and pages are set by who reads it, while reading."""

    file: BytesIO
    size: int
    name: str
    limits: Limits = field(default=LIMITS)
    encoding: str = ""
    title: str = ""
    pages: int = 0

    @property
    def ending(self) -> str:
        """Of the name: lower-case, without the dot; empty if there is none."""
        stem, _, ending = self.name.rpartition(".")
        return ending.lower() if stem else ""

    def head(self, size: int) -> bytes:
        """The first bytes."""
        self.file.seek(0)
        return self.file.read(size)

    def next_page(self, what: str = "pages") -> int:
        """Counts a page; its number. what: how people call them, in the plural."""
        if self.pages >= self.limits.pages:
            raise RefusalError(
                f"The file has more than {self.limits.pages:,} {what}. Split it into several files and upload those."
            )
        self.pages += 1
        return self.pages


def too_large(what: str, megabytes: float) -> RefusalError:
    """What is larger than it may be."""
    return RefusalError(f"{what} is larger than {megabytes:g} MB. Split the file and upload its parts.")
