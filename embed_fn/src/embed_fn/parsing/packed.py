"""Packed files (ZIP) and the XML in them, unpacked within limits."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

from dormouse_runtime.workers.errors import RefusalError
from lxml import etree

from embed_fn.parsing.source import Source

_SMALL: Final = 1_000_000  # what is not checked for its ratio
_FAILURES: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, KeyError)
_RELATION: Final = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_BROKEN: Final = "The file is damaged or was cut off. Save it anew and upload it again."


class Package:
    """An Office file: parts by their names."""

    def __init__(self, source: Source) -> None:
        """Refuses what would unpack to more than it may, before anything is unpacked."""
        limits = source.limits
        try:
            self._zip = zipfile.ZipFile(source.file)
        except _FAILURES as error:
            raise broken() from error
        entries = self._zip.infolist()
        if len(entries) > limits.entries:
            raise RefusalError(f"The file has more than {limits.entries:,} parts. Save it anew and upload it again.")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > limits.unpacked_bytes or any(
            entry.file_size > max(_SMALL, entry.compress_size * limits.unpacked_ratio) for entry in entries
        ):
            raise RefusalError(
                f"The file unpacks to {unpacked / 1e6:,.0f} MB, far more than a file of this size should. "
                "Split it into several files."
            )
        if any(entry.flag_bits & 1 for entry in entries):
            raise encrypted()
        self._names = {entry.filename for entry in entries}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def open(self, name: str) -> IO[bytes]:
        """A part, to be read in slices; no more than it says comes out of it."""
        try:
            return self._zip.open(name)
        except (*_FAILURES, RuntimeError) as error:
            raise broken() from error

    def elements(self, name: str, *events: str) -> Iterator[tuple[str, Any]]:
        """What lxml's iterparse tells of a part: no entities, no files, no network. Whoever reads it clears it."""
        with self.open(name) as part:
            parser = etree.iterparse(
                part, events=events, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
                remove_comments=True, remove_pis=True,
            )  # fmt: skip
            try:
                for event, element in parser:
                    if event == "start" and element.getparent() is None:
                        _refuse_declarations(element)
                    yield event, element
            except etree.XMLSyntaxError as error:
                raise broken() from error
            except _FAILURES as error:
                raise broken() from error

    def relations(self, name: str) -> Mapping[str, tuple[str, str]]:
        """What a part refers to inside of the file: by its id, the last word of its type and the other part's name."""
        folder, file = posixpath.split(name)
        where = f"{folder}/_rels/{file}.rels".lstrip("/")
        found = {}
        if where in self:
            for _, element in self.elements(where, "start", "end"):
                if element.tag == _RELATION and element.get("TargetMode") != "External":
                    target = posixpath.normpath(posixpath.join("/", folder, element.get("Target", "")))
                    kind = element.get("Type", "").rpartition("/")[2]
                    found[element.get("Id", "")] = (kind, target.lstrip("/"))
        return found


def _refuse_declarations(root: Any) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise RefusalError(
            "The file declares XML entities, which no Office program writes. Save it anew and try again."
        )


def broken() -> RefusalError:
    return RefusalError(_BROKEN)


def encrypted() -> RefusalError:
    return RefusalError("The file is protected with a password. Save it without one and upload it again.")


def release(element: Any) -> None:
    """Frees a part of the tree that has been read, and what is before it."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]
